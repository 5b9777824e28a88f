"""The statements of an import."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Executable,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    and_,
    case,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql

from app.resources.imports import Importable, OnConflict


class Statements:
    """The statements of an import, and its two temporary tables.

    staged: the good rows of the file. `given` has a bit for each field that the row has.
    plan: for each of them the row that is there already, if any, and its fault, if any.
    """

    def __init__(self, importable: Importable[Any]) -> None:
        self._importable = importable
        self._table = importable.resource.table
        instant = postgresql.TIMESTAMP(timezone=True)
        self.staged = _temporary(
            f"staged_{self._table.name}",
            {
                "row": BigInteger(),
                "given_id": Uuid(),
                "new_id": Uuid(),
                "created": instant,
                "updated": instant,
                "given": Integer(),
                **{name: self._table.c[name].type for name in importable.columns},
                **dict.fromkeys(importable.lookups, Text()),
            },
        )
        self.plan = _temporary(
            f"plan_{self._table.name}", {"row": BigInteger(), "target": Uuid(), "fault": Text()}
        )

    def looking_up(self, name: str) -> Executable:
        lookup = self._importable.lookups[name]
        (key,) = self._table.c[lookup.column].foreign_keys
        statement = update(self.staged).where(lookup.by == self.staged.c[name])
        return statement.values({lookup.column: key.column})

    def planning(self, on_conflict: OnConflict) -> Executable:
        staged, resource = self.staged.c, self._importable.resource
        by_id = self._table.alias("by_id")
        found = self.staged.outerjoin(by_id, by_id.c.id == staged.given_id)
        unknown, twice, other = [], [_twice(staged.given_id, staged.row, "id")], []
        taken = [(by_id.c.id.is_not(None), "taken id")]
        target: ColumnElement[Any] = by_id.c.id
        for column in resource.unique:
            name = self._importable.field_of(column)
            by_key = self._table.alias(f"by_{column}")
            found = found.outerjoin(by_key, by_key.c[column] == staged[column])
            twice.append(_twice(staged[column], staged.row, name))
            other.append((target != by_key.c.id, f"other {name}"))
            taken.insert(0, (by_key.c.id.is_not(None), f"taken {name}"))
            target = func.coalesce(target, by_key.c.id)
        for column in resource.references:
            (key,) = self._table.c[column].foreign_keys
            there = key.column.table.alias(f"of_{column}")
            found = found.outerjoin(there, there.c[key.column.name] == staged[column])
            missing = there.c[key.column.name].is_(None)
            # A lookup that found nothing has left its column empty.
            unknown += [
                (and_(staged[name].is_not(None), missing), f"unknown {name}")
                for name, lookup in self._importable.lookups.items()
                if lookup.column == column
            ]
            unknown.append((and_(staged[column].is_not(None), missing), f"unknown {column}"))
        twice.append(_twice(target, staged.row, "id"))
        faults = (*unknown, *twice, *other, *(taken if on_conflict == "fail" else ()))
        rows = select(staged.row, target, case(*faults, else_=None)).select_from(found)
        return insert(self.plan).from_select(["row", "target", "fault"], rows)

    def counting(self) -> Executable:
        """The numbers of bad rows, of new ones and of those that are there."""
        plan = self.plan.c
        is_good = plan.fault.is_(None)
        return select(
            func.count(plan.fault),
            func.count().filter(is_good, plan.target.is_(None)),
            func.count().filter(is_good, plan.target.is_not(None)),
        )

    def faults(self, limit: int) -> Executable:
        plan = self.plan.c
        bad = select(plan.row, plan.fault).where(plan.fault.is_not(None))
        return bad.order_by(plan.row).limit(limit)

    def locking(self) -> Executable:
        """Locks the rows that are there already; the number of those that still are the ones that
        the file means. In the order of ids, as all statements that write several rows.
        """
        old, staged, plan = self._table.c, self.staged.c, self.plan.c
        keys = (old[name] == staged[name] for name in self._importable.resource.unique)
        locked = (
            select(old.id)
            .where(old.id == plan.target, plan.fault.is_(None), plan.row == staged.row)
            .where(or_(old.id == staged.given_id, *keys))
            .order_by(old.id)
            .with_for_update(key_share=True, of=self._table)
        )
        return select(func.count()).select_from(locked.subquery())

    def updating(self) -> Executable:
        """Writes the fields that the file has for a row, where that changes anything."""
        old, staged, plan = self._table.c, self.staged.c, self.plan.c
        bits = {name: 1 << n for n, name in enumerate(self._importable.create.model_fields)}
        new = {
            name: case(
                (
                    staged.given.op("&")(bits[self._importable.field_of(name)]) != 0,
                    staged[name],
                ),
                else_=old[name],
            )
            for name in self._importable.columns
        }
        return (
            update(self._table)
            .where(old.id == plan.target, plan.fault.is_(None), plan.row == staged.row)
            .where(or_(*(old[name].is_distinct_from(value) for name, value in new.items())))
            .values({**new, "version": old.version + 1, "updated": func.clock_timestamp()})
        )

    def inserting(self, *, keeps_ids: bool) -> Executable:
        staged, plan = self.staged.c, self.plan.c
        columns: dict[str, Any] = {name: staged[name] for name in self._importable.columns}
        columns["id"] = staged.new_id
        if keeps_ids:
            now = func.statement_timestamp()
            columns["id"] = func.coalesce(staged.given_id, staged.new_id)
            columns["created"] = func.coalesce(staged.created, now)
            columns["updated"] = func.coalesce(staged.updated, staged.created, now)
        rows = select(*columns.values()).where(
            plan.row == staged.row, plan.fault.is_(None), plan.target.is_(None)
        )
        # As the inserts of requests are ordered, so that two statements with the same unique values
        # wait for each other in one direction only.
        unique = (staged[name] for name in self._importable.resource.unique)
        statement = postgresql.insert(self._table).from_select(
            [*columns], rows.order_by(*unique, staged.row)
        )
        return statement.on_conflict_do_nothing()


def _temporary(name: str, columns: Mapping[str, Any]) -> Table:
    """A table that ends with the transaction."""
    return Table(
        name,
        MetaData(),
        *(Column(name, kind) for name, kind in columns.items()),
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DROP",
    )


def _twice(
    column: ColumnElement[Any], row: ColumnElement[int], name: str
) -> tuple[ColumnElement[bool], str]:
    number = func.row_number().over(partition_by=column, order_by=row)
    return and_(column.is_not(None), number > 1), f"twice {name}"
