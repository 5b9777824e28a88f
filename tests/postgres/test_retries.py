"""A request that meets others in the database runs again, as long as that can do no harm."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Annotated, Any

import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Request, Response
from sqlalchemy import URL, func, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from structlog.testing import capture_logs

from app.api.routes import StrictRoute
from app.api.sessions import SessionDep
from app.auth.last_used import write_uses
from app.models import Account, ApiKey, table_of
from app.postgres import retries
from app.postgres.sessions import execute_only_write, execute_read
from app.serving.sweeper import sweep_all
from tests.applications import client_of, running_app
from tests.catalog import Entry, Row, every_resource
from tests.databases import LIMITS, execute
from tests.factories import account_body, account_row, create_account, create_item, make_key
from tests.imports import as_csv
from tests.locks import held_up
from tests.refusals import AT_COMMIT, AT_ONCE, COUNT, refusals
from tests.responses import assert_problem

ACCOUNTS = table_of(Account)
KEY = {"Idempotency-Key": "one request"}


@pytest.fixture
def running(committed_app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.setattr(retries, "PAUSE_SECONDS", 0)
    return committed_app


@pytest.fixture
async def client(running: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(running) as client:
        yield client


@pytest.fixture
async def engine(database: URL) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(database, isolation_level="AUTOCOMMIT")
    yield engine
    await engine.dispose()


@pytest.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as connection:
        yield connection


Refuse = Callable[..., Awaitable[None]]


@pytest.fixture
def refuse(connection: AsyncConnection) -> Refuse:
    """Makes a table refuse the next writes."""

    async def refuse(*what: Any, **options: Any) -> None:
        for statement in refusals(*what, **options):
            await connection.execute(text(statement))

    return refuse


@pytest.fixture
def attempts(connection: AsyncConnection) -> Callable[[], Awaitable[int]]:
    async def attempts() -> int:
        return int(await connection.scalar(text(COUNT)) or 0)

    return attempts


@every_resource
@pytest.mark.parametrize("timing", [AT_ONCE, AT_COMMIT])
@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
async def test_every_write_of_a_resource_runs_again(
    client: httpx.AsyncClient, entry: Entry, refuse: Refuse, sqlstate: str, timing: str
) -> None:
    table = entry.resource.table.name

    async def write(method: str, path: str, body: Row | None, **headers: str) -> httpx.Response:
        await refuse(table, 3, sqlstate, timing)
        answer = await client.request(method, path, json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer

    made = await write("POST", entry.path, await entry.valid_body(client))
    path = made.headers["location"]
    body = await entry.valid_body(client)
    assert (await write("PUT", path, body)).json()["version"] == 2
    changed = await write("PATCH", path, entry.changes, **{"If-Match": '"2"'})
    assert changed.json()["version"] == 3
    await write("DELETE", path, None)
    assert (await client.get(path)).status_code == 404


@every_resource
@pytest.mark.parametrize("timing", [AT_ONCE, AT_COMMIT])
async def test_one_with_a_key_takes_effect_once(
    client: httpx.AsyncClient, entry: Entry, refuse: Refuse, timing: str
) -> None:
    body = await entry.valid_body(client)
    await refuse(entry.resource.table.name, timing=timing)
    first = await client.post(entry.path, json=body, headers=KEY)
    assert first.status_code == 201
    assert "idempotency-replayed" not in first.headers
    again = await client.post(entry.path, json=body, headers=KEY)
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")


@pytest.mark.parametrize("table", ["favorites", "reservations", "wishes"])
async def test_every_write_of_a_link_runs_again(
    client: httpx.AsyncClient, refuse: Refuse, table: str
) -> None:
    item = await create_item(client)
    name, body = table.removesuffix("s"), {"item_id": item["id"]}
    if table == "wishes":
        name, body = f"wishes/{item['id']}", {"note": "x"}
    path = f"/accounts/{item['account_id']}/{name}"
    for method, content, status in (("PUT", body, 201), ("PUT", body, 200), ("DELETE", None, 204)):
        await refuse(table)
        answer = await client.request(method, path, json=content)
        assert answer.status_code == status, answer.text


@every_resource
@pytest.mark.parametrize("timing", [AT_ONCE, AT_COMMIT])
async def test_every_batch_runs_again(
    client: httpx.AsyncClient, entry: Entry, refuse: Refuse, timing: str
) -> None:
    first = await entry.valid_body(client)
    parents = {name: first[name] for name in entry.parents()}
    rows: list[Row] = [first, await entry.valid_body(client, **parents)]

    async def send(verb: str, rows: list[Row]) -> list[Row]:
        await refuse(entry.resource.table.name, timing=timing)
        answer = await client.post(f"{entry.path}:batch{verb}", json={"data": rows})
        assert answer.is_success, answer.text
        written: list[Row] = answer.json()["data"] if answer.content else []
        return written

    made = await send("Create", rows)
    changes = [{"id": row["id"], "version": 1, **entry.changes} for row in made[:1]]
    assert [row["version"] for row in await send("Update", changes)] == [2]
    await send("Delete", [{"id": row["id"]} for row in made])
    assert (await client.get(f"{entry.path}/{made[0]['id']}")).status_code == 404


@every_resource
@pytest.mark.parametrize("timing", [AT_ONCE, AT_COMMIT])
@pytest.mark.parametrize("headers", [{}, KEY])
async def test_an_import_runs_again_from_its_file(
    client: httpx.AsyncClient, entry: Entry, refuse: Refuse, timing: str, headers: dict[str, str]
) -> None:
    content = as_csv([await entry.valid_body(client)])
    await refuse(entry.resource.table.name, timing=timing)
    answer = await client.post(
        f"{entry.path}:import", content=content, headers={"Content-Type": "text/csv", **headers}
    )
    assert answer.status_code == 200, answer.text
    assert (answer.json()["rows"], answer.json()["created"]) == (1, 1)


@every_resource
async def test_a_validation_runs_again_and_stores_nothing(
    client: httpx.AsyncClient, entry: Entry, refuse: Refuse
) -> None:
    body = await entry.valid_body(client)
    await refuse(entry.resource.table.name)
    answer = await client.post(f"{entry.path}?validate_only=true", json=body)
    assert answer.status_code == 200, answer.text
    row_id = answer.json()["id"]
    assert (await client.get(f"{entry.path}/{row_id}")).status_code == 404


async def test_a_cascade_runs_again(client: httpx.AsyncClient, refuse: Refuse) -> None:
    item = await create_item(client)
    await refuse("items")
    answer = await client.delete(f"/accounts/{item['account_id']}?cascade=true")
    assert answer.status_code == 204, answer.text


class TestBackground:
    """Statements that no request waits for."""

    async def test_a_sweep_runs_again(
        self, running: FastAPI, connection: AsyncConnection, refuse: Refuse
    ) -> None:
        await connection.execute(
            text(
                "INSERT INTO idempotency_keys (principal, path, key, fingerprint, expires, status)"
                " VALUES ('anonymous', '/accounts', 'k', '', clock_timestamp(), 201)"
            )
        )
        await refuse("idempotency_keys")
        assert await sweep_all(running.state.statements) == 1

    async def test_the_last_use_of_a_key_is_written_again(
        self, database: URL, running: FastAPI, connection: AsyncConnection, refuse: Refuse
    ) -> None:
        await make_key(database, "read")
        key = table_of(ApiKey).c
        running.state.key_lookup.used.add(await connection.scalar(select(key.id)))
        await refuse("api_keys")
        with capture_logs() as logs:
            await write_uses(running.state.key_lookup, running.state.statements)
        assert logs == []
        assert await connection.scalar(select(key.last_used)) is not None


@pytest.mark.parametrize("headers", [{}, KEY])
async def test_no_more_than_three_times(
    client: httpx.AsyncClient,
    refuse: Refuse,
    attempts: Callable[[], Awaitable[int]],
    headers: dict[str, str],
) -> None:
    await refuse("accounts", 4)
    answer = await client.post("/accounts", json=account_body(), headers=headers)
    assert_problem(answer, 503, "overloaded", {})
    assert await attempts() == 4
    assert (await client.get("/accounts?count=exact")).json()["count"] == 0
    # Nothing is left of it.
    answer = await client.post("/accounts", json=account_body(), headers=headers)
    assert answer.status_code == 201
    assert "idempotency-replayed" not in answer.headers


@pytest.mark.parametrize("sqlstate", ["55P03", "57014", "53100", "08006"])
async def test_only_what_was_rolled_back_because_of_others_runs_again(
    client: httpx.AsyncClient,
    refuse: Refuse,
    attempts: Callable[[], Awaitable[int]],
    sqlstate: str,
) -> None:
    await refuse("accounts", 1, sqlstate)
    assert (await client.post("/accounts", json=account_body())).status_code == 503
    assert await attempts() == 1


async def test_pauses_grow_and_are_random(
    client: httpx.AsyncClient, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranges: list[tuple[float, float]] = []

    def choose(least: float, most: float) -> float:
        ranges.append((least, most))
        return 0

    monkeypatch.setattr(retries, "PAUSE_SECONDS", 1)
    monkeypatch.setattr(random, "uniform", choose)
    await refuse("accounts")
    assert (await client.post("/accounts", json=account_body())).status_code == 201
    assert ranges == [(0, 1), (0, 2), (0, 4)]


@pytest.mark.parametrize("isolation", ["serializable", "repeatable read"])
async def test_a_stricter_default_of_the_database_is_no_problem(
    database: URL, engine: AsyncEngine, client: httpx.AsyncClient, isolation: str
) -> None:
    account = await create_account(client)
    name = f'"{database.database}"'
    setting = f"default_transaction_isolation = '{isolation}'"
    await execute(database, f"ALTER DATABASE {name} SET {setting}")
    path = f"/accounts/{account['id']}"
    running = running_app(database, **dict.fromkeys(LIMITS, 0))
    async with running as application, client_of(application) as strict:
        async with engine.connect() as other:
            await other.execute(text("BEGIN"))
            changing = text("UPDATE accounts SET version = 2, username = 'x' WHERE id = :id")
            await other.execute(changing, {"id": account["id"]})
            change = asyncio.create_task(strict.patch(path, json={"username": "eve"}))
            await held_up(database)
            await other.execute(text("COMMIT"))
        answer = await change
        assert (answer.status_code, answer.json()["version"]) == (200, 3)


@pytest.mark.parametrize(("sqlstate", "is_lost"), [("40003", False), ("08006", True)])
async def test_a_batch_that_may_be_committed_is_not_written_again(
    sqlstate: str, *, is_lost: bool
) -> None:
    refused = type("Refused", (Exception,), {"sqlstate": sqlstate})()
    batches: list[Sequence[str]] = []

    async def write(batch: Sequence[str]) -> Sequence[str]:
        batches.append(batch)
        raise DBAPIError("INSERT", {}, refused, connection_invalidated=is_lost)

    with pytest.raises(DBAPIError):
        await retries.write_together(write, ["one", "two"])
    assert batches == [["one", "two"]]


REFUSING_READ = select(func.refuse_read())


class TestHarm:
    """What may not be done twice is not run again."""

    @pytest.fixture
    async def put(
        self, running: FastAPI, client: httpx.AsyncClient, connection: AsyncConnection
    ) -> Callable[[Callable[..., Any]], Awaitable[httpx.Response]]:
        """Adds a route and asks for it."""
        function = (
            "CREATE FUNCTION refuse_read() RETURNS int LANGUAGE plpgsql AS $$ BEGIN"
            " IF nextval('refusals') = 1 THEN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END IF;"
            " RETURN 1; END $$"
        )
        for statement in ("CREATE SEQUENCE refusals", function):
            await connection.execute(text(statement))

        async def put(endpoint: Callable[..., Any]) -> httpx.Response:
            running.router.add_api_route(
                "/work", endpoint, methods=["PUT"], route_class_override=StrictRoute
            )
            return await client.put("/work")

        return put

    @pytest.fixture
    def names(self, connection: AsyncConnection) -> Callable[[], Awaitable[list[str]]]:
        async def names() -> list[str]:
            return list(await connection.scalars(select(ACCOUNTS.c.username)))

        return names

    async def test_an_operation_of_ours_runs_again(self, put: Any, names: Any) -> None:
        async def work(session: SessionDep) -> Response:
            await session.execute(insert(ACCOUNTS).values(account_row("ada")))
            async with session.begin_nested():
                await session.execute(insert(ACCOUNTS).values(account_row("bob")))
            await session.execute(REFUSING_READ)
            return Response()

        assert (await put(work)).status_code == 200
        assert await names() == ["ada", "bob"]

    async def test_one_with_another_dependency_does_not(self, put: Any, names: Any) -> None:
        calls: list[str] = []

        async def get_calls(request: Request) -> list[str]:
            return calls

        async def work(
            session: SessionDep, noted: Annotated[list[str], Depends(get_calls)]
        ) -> Response:
            noted.append("work")
            async with session.begin():
                await session.execute(REFUSING_READ)
            return Response()

        assert_problem(await put(work), 503, "overloaded", {})
        assert calls == ["work"]

    async def test_one_that_fastapi_runs_does_too(self, put: Any, names: Any) -> None:
        async def work(session: SessionDep) -> int:
            await session.execute(insert(ACCOUNTS).values(account_row("ada")))
            return int(await session.scalar(REFUSING_READ) or 0)

        answer = await put(work)
        assert (answer.status_code, answer.json()) == (200, 1)
        assert await names() == ["ada"]

    async def test_one_with_background_tasks_does_not(self, put: Any, names: Any) -> None:
        calls: list[str] = []

        async def work(session: SessionDep, tasks: BackgroundTasks) -> int:
            tasks.add_task(calls.append, "task")
            await session.execute(insert(ACCOUNTS).values(account_row("ada")))
            return int(await session.scalar(REFUSING_READ) or 0)

        assert_problem(await put(work), 503, "overloaded", {})
        assert (calls, await names()) == ([], [])

    async def test_one_that_is_no_coroutine_does_not(self, put: Any, names: Any) -> None:
        def work(session: SessionDep) -> int:
            return 7

        assert (await put(work)).json() == 7

    async def test_one_that_has_committed_does_not(self, put: Any, names: Any) -> None:
        async def work(session: SessionDep) -> Response:
            await session.execute(insert(ACCOUNTS).values(account_row("ada")))
            await session.commit()
            await session.execute(REFUSING_READ)
            return Response()

        assert_problem(await put(work), 503, "overloaded", {})
        assert await names() == ["ada"]

    async def test_a_statement_alone_runs_again_by_itself(self, put: Any, names: Any) -> None:
        calls: list[str] = []

        async def work(session: SessionDep) -> Response:
            calls.append("work")
            await execute_only_write(session, insert(ACCOUNTS), account_row("ada"))
            await execute_read(session, REFUSING_READ)
            return Response()

        assert (await put(work)).status_code == 200
        assert (calls, await names()) == (["work"], ["ada"])

    async def test_another_error_is_none_of_this(self, put: Any, names: Any) -> None:
        async def work(session: SessionDep) -> Response:
            await session.execute(insert(ACCOUNTS).values(account_row("ada")))
            await session.execute(text("SELECT 1 / 0"))
            return Response()

        assert_problem(await put(work), 500, "internal", {})
        assert await names() == []


@pytest.mark.parametrize("one_item", [False, True])
async def test_20_reservations_at_once_are_all_settled(
    database: URL, client: httpx.AsyncClient, one_item: bool
) -> None:
    """Isolated more strictly than by default, many of them must run again."""
    accounts = [(await create_account(client))["id"] for _ in range(20)]
    items = [(await create_item(client, accounts[0]))["id"] for _ in range(20)]
    setting = "default_transaction_isolation = serializable"
    await execute(database, f'ALTER DATABASE "{database.database}" SET {setting}')
    running = running_app(database, **dict.fromkeys(LIMITS, 0))
    async with running as application, client_of(application) as strict:
        answers = await asyncio.gather(
            *(
                strict.put(
                    f"/accounts/{account}/reservation",
                    json={"item_id": items[0] if one_item else item},
                )
                for account, item in zip(accounts, items, strict=True)
            )
        )
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses == ({201: 1, 409: 19} if one_item else {201: 20})
