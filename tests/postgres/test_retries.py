"""A request that meets others in the database runs again, as long as that can do no harm."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request, Response
from sqlalchemy import URL, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from uuid_utils.compat import uuid7

from app.api.routes import StrictRoute
from app.api.sessions import SessionDep
from app.models import Account, table_of
from app.postgres import retries
from app.postgres.sessions import execute_only_write, execute_read
from tests.applications import client_of, running_app
from tests.catalog import Entry, Row, every_resource
from tests.databases import LIMITS, execute
from tests.factories import account_body, create_account, create_item
from tests.locks import held_up
from tests.responses import assert_problem

ACCOUNTS = table_of(Account)
AT_ONCE = "TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON {table}"
AT_COMMIT = (
    "CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE OR DELETE ON {table}"
    " DEFERRABLE INITIALLY DEFERRED"
)
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
    """Makes a table refuse the next writes, so many times. `timing` is that of the trigger."""

    async def refuse(
        table: str, times: int = 3, sqlstate: str = "40001", timing: str = AT_ONCE
    ) -> None:
        function = (
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF nextval('refusals') <= {times} THEN"
            f" RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END IF;"
            " RETURN COALESCE(NEW, OLD); END $$"
        )
        when = timing.format(table=table)
        for statement in (
            "CREATE SEQUENCE IF NOT EXISTS refusals",  # no rollback takes its numbers back
            "ALTER SEQUENCE refusals RESTART",
            function,
            f"DROP TRIGGER IF EXISTS refuse ON {table}",
            f"CREATE {when} FOR EACH ROW EXECUTE FUNCTION refuse()",
        ):
            await connection.execute(text(statement))

    return refuse


@pytest.fixture
def attempts(connection: AsyncConnection) -> Callable[[], Awaitable[int]]:
    async def attempts() -> int:
        return int(await connection.scalar(text("SELECT last_value FROM refusals")) or 0)

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


def new_account(name: str) -> dict[str, Any]:
    email = f"{name}@example.com"
    return {"id": uuid7(), "email": email, "email_key": email, "username": name}


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
            await session.execute(insert(ACCOUNTS).values(new_account("ada")))
            async with session.begin_nested():
                await session.execute(insert(ACCOUNTS).values(new_account("bob")))
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
            await session.execute(REFUSING_READ)
            return Response()

        assert_problem(await put(work), 503, "overloaded", {})
        assert calls == ["work"]

    async def test_one_that_fastapi_runs_does_not(self, put: Any, names: Any) -> None:
        async def work(session: SessionDep) -> int:
            await session.execute(insert(ACCOUNTS).values(new_account("ada")))
            return int(await session.scalar(REFUSING_READ) or 0)

        assert_problem(await put(work), 503, "overloaded", {})
        assert await names() == []

    async def test_one_that_has_committed_does_not(self, put: Any, names: Any) -> None:
        async def work(session: SessionDep) -> Response:
            await session.execute(insert(ACCOUNTS).values(new_account("ada")))
            await session.commit()
            await session.execute(REFUSING_READ)
            return Response()

        assert_problem(await put(work), 503, "overloaded", {})
        assert await names() == ["ada"]

    async def test_one_that_has_written_alone_does_not(self, put: Any, names: Any) -> None:
        async def work(session: SessionDep) -> Response:
            await execute_only_write(session, insert(ACCOUNTS), new_account("ada"))
            await execute_read(session, REFUSING_READ)
            return Response()

        assert_problem(await put(work), 503, "overloaded", {})
        assert await names() == ["ada"]

    async def test_another_error_is_none_of_this(self, put: Any, names: Any) -> None:
        async def work(session: SessionDep) -> Response:
            await session.execute(insert(ACCOUNTS).values(new_account("ada")))
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
