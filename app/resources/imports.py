"""Imports of rows: staged in a temporary table, then written by one statement of each kind."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import IO, Any, Generic, Literal

from pydantic import BaseModel
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
    text,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.schema import CreateTable

from app.errors import Fault, FaultCode, ImportRejected, Overloaded
from app.postgres.failures import is_conflict
from app.postgres.time_limits import set_time_limit, waiting_longer
from app.resources.constraints import conflicts
from app.resources.resource import Read, Resource

OnConflict = Literal["fail", "skip", "update"]
OnError = Literal["fail", "skip"]
MAX_FAULTS = 1000
_PIECE = 2**18
# How often rows are compared with those of others that are written at the same time.
ATTEMPTS = 5
_DETAILS: Mapping[str, str] = {
    "taken": "A row that is there has this value.",
    "twice": "The file has this value before.",
    "unknown": "No row has this value.",
    "other": "Another row that is there has this value than has the id.",
}


@dataclass(frozen=True, slots=True)
class Lookup:
    """A reference by another unique column of the row that it refers to.

    column: of the imported resource, which gets the id.
    by: the column of the other table that is compared; key: makes what it is compared with.
    """

    column: str
    by: Column[Any]
    key: Callable[[str], str]


@dataclass(frozen=True, eq=False)
class Importable(Generic[Read]):
    """What an import of a resource follows from.

    create: the schema of a row.
    values: the values of columns from those of fields.
    derived: columns that are no fields, each with the field that it is made from.
    lookups: further columns of files, by their names.
    """

    resource: Resource[Read]
    create: type[BaseModel]
    values: Callable[[dict[str, Any]], dict[str, Any]]
    derived: Mapping[str, str]
    lookups: Mapping[str, Lookup] = field(default_factory=dict)

    @property
    def columns(self) -> Sequence[str]:
        """The columns that clients set, or that are made from these."""
        return (*self.create.model_fields, *self.derived)

    @cached_property
    def statements(self) -> "_Statements":
        return _Statements(self)

    def field_of(self, column: str) -> str:
        return self.derived.get(column, column)


@dataclass(frozen=True, slots=True)
class Options:
    """How rows are imported.

    on_conflict: what happens to rows that are there already.
    keeps_ids: new rows get the ids and instants of the file.
    skips_bad: bad rows are left out; else one of them keeps all from being written.
    max_faults: of the report.
    """

    on_conflict: OnConflict = "fail"
    keeps_ids: bool = False
    skips_bad: bool = False
    max_faults: int = MAX_FAULTS


@dataclass(slots=True)
class Report:
    """What an import did; `errors` are the first faults."""

    rows: int = 0
    created: int = 0
    updated: int = 0
    skipped: int = 0
    rejected: int = 0
    errors: list[Fault] = field(default_factory=list)


@dataclass(slots=True)
class Upload:
    """A file that was checked: its good rows, as `write` takes them, and the first faults."""

    staged: IO[bytes]
    rows: int = 0
    rejected: int = 0
    faults: list[Fault] = field(default_factory=list)


class _Statements:
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


async def write_upload(
    session: AsyncSession,
    importable: Importable[Any],
    upload: Upload,
    options: Options,
    time_limit: float,
) -> Report:
    """Write an upload in the transaction of the session; each statement may take `time_limit`
    seconds.

    Errors: ImportRejected, Overloaded, and those of the database.
    """
    await session.execute(select(set_time_limit(time_limit)))
    upload.staged.seek(0)
    async with waiting_longer(session, time_limit):
        report = await write(
            await session.connection(),
            importable,
            _pieces(upload.staged),
            options,
            has_bad=bool(upload.rejected),
        )
    report.rows = upload.rows
    report.rejected += upload.rejected
    found = sorted((*upload.faults, *report.errors), key=lambda fault: fault["row"])
    report.errors = found[:MAX_FAULTS]
    if report.rejected and not options.skips_bad:
        raise ImportRejected({**asdict(report), "errors": []}, report.errors)
    return report


async def _pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


async def write(
    connection: AsyncConnection,
    importable: Importable[Any],
    staged: AsyncIterable[bytes],
    options: Options,
    *,
    has_bad: bool = False,
) -> Report:
    """Write staged rows in the transaction of the connection, which the caller ends.

    The report counts the rows that are rejected here. If there are any, or the file `has_bad` rows
    that were not staged, and bad rows are not skipped, nothing is written.
    staged: lines of COPY's text format, with the columns of `_Statements.staged`.
    Errors: Overloaded, where others keep writing the same rows, and those of the database.
    """
    statements = importable.statements
    for table in (statements.staged, statements.plan):
        # Made once in a transaction, which keeps its locks on tables that it has dropped.
        await connection.execute(CreateTable(table, if_not_exists=True))
    await connection.execute(text(f"TRUNCATE {statements.staged.name}, {statements.plan.name}"))
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.copy_to_table(statements.staged.name, source=staged, schema_name="pg_temp")
    for name in importable.lookups:
        await connection.execute(statements.looking_up(name))
    await connection.execute(text(f"ANALYZE {statements.staged.name}"))
    for _ in range(ATTEMPTS):
        try:
            async with connection.begin_nested():
                with conflicts(dict.fromkeys(importable.resource.problems, Overloaded)):
                    return await _write(connection, statements, options, has_bad=has_bad)
        except Overloaded:
            continue
        except DBAPIError as error:
            if not is_conflict(error):
                raise
    raise Overloaded


async def _write(
    connection: AsyncConnection, statements: _Statements, options: Options, *, has_bad: bool
) -> Report:
    """Errors: Overloaded, where others have written since the rows were compared."""
    await connection.execute(statements.planning(options.on_conflict))
    rejected, new, there = (await connection.execute(statements.counting())).one()
    report = Report(rejected=rejected)
    if rejected:
        found = await connection.execute(statements.faults(options.max_faults))
        report.errors = [_row_fault(row, *fault.split(" ")) for row, fault in found]
    if (rejected or has_bad) and not options.skips_bad:
        return report
    if there and options.on_conflict == "update":
        if await connection.scalar(statements.locking()) < there:
            raise Overloaded
        report.updated = (await connection.execute(statements.updating())).rowcount
    if new:
        inserting = statements.inserting(keeps_ids=options.keeps_ids)
        report.created = (await connection.execute(inserting)).rowcount
        if report.created < new:
            raise Overloaded
    report.skipped = there - report.updated
    return report


def _row_fault(row: int, kind: str, name: str) -> Fault:
    code: FaultCode = "not_found" if kind == "unknown" else "not_unique"
    return Fault(row=row, pointer=f"/{name}", code=code, detail=_DETAILS[kind])
