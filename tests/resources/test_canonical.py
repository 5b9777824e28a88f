"""Equal values have equal bytes, and others have others."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import MISSING, BaseModel

from app.resources.canonical import canonical

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ID = "0190a5d0-7f3a-7cc0-8000-00000000000a"


class Body(BaseModel):
    price: Decimal
    note: str | None = None
    more: str | MISSING = MISSING


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Decimal("10.5"), Decimal("10.50")),
        (Decimal(100), Decimal("1E2")),
        (NOON, NOON.astimezone(timezone(timedelta(hours=5)))),
        (UUID(ID), UUID(ID.upper())),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"b", "a"}, frozenset({"a", "b"})),
        ({Decimal("1.0"), Decimal(2)}, {Decimal("2.0"), Decimal(1)}),
        (Body(price=Decimal("1.5")), Body(price=Decimal("1.50"), note=None)),
        (["x", 1], ("x", 1)),
    ],
)
def test_equal_values(one: Any, other: Any) -> None:
    assert canonical(one) == canonical([other][0])
    assert canonical({"in": [one]}) == canonical({"in": [other]})


def test_other_values() -> None:
    values = [
        *(None, True, 0, "", "0", [], [0], {}, {"a": None}, Decimal("1.5"), Decimal("1.51")),
        *(date(2026, 1, 31), NOON, NOON.replace(tzinfo=None), UUID(ID), {"a"}, {"a", "b"}),
        *(Body(price=Decimal(1)), Body(price=Decimal(1), note=""), Body(price=Decimal(1), more="")),
    ]
    assert len({canonical(value) for value in values}) == len(values)
