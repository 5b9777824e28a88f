"""Every filter of every list lets through the rows that match it, and no others."""

import operator
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import combinations
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import true
from sqlalchemy.ext.asyncio import AsyncConnection

from app.resources import lists
from app.resources.filters import Filter, at_most, less_than
from tests.catalog import CATALOG, NOON, Entry, List, Row, Rule, every_list, rows_of

COUNT = 12
TICK = timedelta(microseconds=1)
# How a filter compares its field, by the end of its name; one without such an end is equality.
COMPARISONS = {"_gte": operator.ge, "_lte": operator.le, "_lt": operator.lt}


def rule_of(entry: Entry, name: str) -> Rule:
    """What the name of a filter promises, unless the catalog has a rule for it."""
    field, mark, end = name.rpartition("_")
    if name in entry.rules:
        return entry.rules[name]
    if mark + end in COMPARISONS:
        holds = COMPARISONS[mark + end]
        return Rule(
            lambda rows: values_of(rows, field),
            lambda row, value: row[field] is not None and holds(row[field], value),
        )
    if end == "prefix":
        return Rule(
            lambda rows: [
                prefix
                for text in values_of(rows, field)
                for prefix in (text, text[:1], text[:-1], text.swapcase(), f"{text}x")
            ],
            lambda row, prefix: row[field] is not None and row[field].startswith(prefix),
        )
    return Rule(
        lambda rows: [*values_of(rows, name), *others_than(values_of(rows, name))],
        lambda row, value: row[name] in (value if isinstance(value, list) else [value]),
    )


def values_of(rows: Sequence[Row], field: str) -> list[Any]:
    return sorted({row[field] for row in rows} - {None})


def others_than(values: list[Any]) -> list[Any]:
    """Values of the same kind that no row has."""
    return [uuid4()] if isinstance(values[0], UUID) else [one.swapcase() for one in values]


def written(value: Any) -> Any:
    """A value as a query has it."""
    if isinstance(value, list):
        return [written(one) for one in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def takes_many(each: List, name: str) -> bool:
    return "list[" in str(each.query.model_fields[name].annotation)


class Listed:
    """A list with rows, and what each filter is to let through of them."""

    def __init__(
        self, client: httpx.AsyncClient, entry: Entry, each: List, stored: list[Row]
    ) -> None:
        self.client, self.entry, self.each = client, entry, each
        self.path, _, own = rows_of(each, stored)
        self.rows = [entry.parse(row) for row in own]
        self.filters = each.filters

    def tries(self, name: str) -> Iterator[tuple[Any, set[str]]]:
        """Values for a filter, and the ids of the rows that each is to let through."""
        rule = rule_of(self.entry, name)
        values = rule.values(self.rows)
        if takes_many(self.each, name):
            values = [[one] for one in values] + [list(pair) for pair in combinations(values, 2)]
        for value in values:
            parsed = getattr(self.each.query.model_validate({name: written(value)}), name)
            yield (
                written(value),
                {str(row["id"]) for row in self.rows if rule.matches(row, parsed)},
            )

    async def found(self, **filters: Any) -> set[str]:
        answer = await self.client.get(self.path, params={**filters, "limit": 200})
        assert answer.status_code == 200, answer.text
        return {row["id"] for row in answer.json()["data"]}


async def filled(
    client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry, each: List
) -> Listed:
    rows = [{"created": NOON + n * TICK, "updated": NOON - n * TICK} for n in range(COUNT)]
    return Listed(client, entry, each, await entry.insert(connection, rows))


@every_list
async def test_each_alone(
    client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry, each: List
) -> None:
    rows = await filled(client, connection, entry, each)
    for name in rows.filters:
        sizes = set()
        for value, expected in rows.tries(name):
            assert await rows.found(**{name: value}) == expected, (name, value)
            sizes.add(len(expected))
        assert sizes - {0, len(rows.rows)}, f"{name}: no value that some rows match and some do not"


@every_list
async def test_two_must_both_hold(
    client: httpx.AsyncClient, connection: AsyncConnection, entry: Entry, each: List
) -> None:
    rows = await filled(client, connection, entry, each)
    for one, other in combinations(rows.filters, 2):
        tries = zip(list(rows.tries(one))[:5], list(rows.tries(other))[-5:], strict=False)
        for (value, these), (more, those) in tries:
            found = await rows.found(**{one: value, other: more})
            assert found == these & those, (one, value, other, more)


@pytest.mark.parametrize(
    "entry",
    [entry for entry in CATALOG if "created_gte" in entry.resource.filters],
    ids=lambda entry: entry.path,
)
@pytest.mark.parametrize("make", [at_most, less_than, lambda column: Filter(lambda _: true())])
async def test_a_filter_that_does_something_else_is_found(
    client: httpx.AsyncClient,
    connection: AsyncConnection,
    monkeypatch: pytest.MonkeyPatch,
    entry: Entry,
    make: Callable[[Any], Filter],
) -> None:
    broken = make(entry.resource.table.c.created)
    monkeypatch.setitem(cast(dict[str, Filter], entry.resource.filters), "created_gte", broken)
    lists._filtered.cache_clear()
    try:
        with pytest.raises(AssertionError, match="created_gte"):
            await test_each_alone(client, connection, entry, entry.lists[0])
    finally:
        lists._filtered.cache_clear()
