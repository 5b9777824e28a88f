"""The problems that clients get when the database fails."""

import asyncio
import inspect
import socket
import ssl

import asyncpg
import httpx
import pytest
from asyncpg.exceptions import _base
from sqlalchemy import URL, NullPool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine

from app.postgres import connection_queue
from app.postgres.commits import UnknownOutcome
from app.postgres.failures import problem_of
from tests.applications import client_of, make_settings, running_app
from tests.databases import LIMITS, execute
from tests.factories import account_body, create_account
from tests.locks import held_up

# All that the driver and the operating system raise by themselves.
WITHOUT_SQLSTATE = [
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.UnsupportedClientFeatureError("no"),
    asyncpg.UnsupportedServerFeatureError("no"),
    asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
    asyncpg.ProtocolError("no"),
    asyncpg.TargetServerAttributeNotMatched("none"),
    asyncpg.OutdatedSchemaCacheError("no"),
    ConnectionError("unexpected connection_lost() call"),
    ConnectionRefusedError(),
    ConnectionResetError(),
    BrokenPipeError(),
    TimeoutError(),
    OSError(113, "No route to host"),
    socket.gaierror(-2, "Name or service not known"),
    ssl.SSLError("no"),
    ssl.SSLCertVerificationError("no"),
    UnknownOutcome("no answer"),
]
# The driver exports another error by this name.
INVALID_INPUT = vars(_base)["DataError"]("invalid input for query argument $1")


def failing(sqlstate: str, *, lost: bool = False) -> DBAPIError:
    error = Exception("no")
    error.__dict__["sqlstate"] = sqlstate
    return DBAPIError("SELECT 1", {}, error, connection_invalidated=lost)


class TestProblemOf:
    @pytest.mark.parametrize(
        "sqlstate",
        ["08006", "25006", "28P01", "3D000", "53300", "57P01", "57P02", "57P03", "57P05"],
    )
    def test_an_unavailable_database(self, sqlstate: str) -> None:
        problem = problem_of(failing(sqlstate))
        assert problem is not None
        assert problem.code == "database_unavailable"
        assert int(problem.headers["Retry-After"]) > 0

    @pytest.mark.parametrize("sqlstate", ["40001", "40P01", "55P03", "57014"])
    def test_an_overloaded_database(self, sqlstate: str) -> None:
        problem = problem_of(failing(sqlstate))
        assert problem is not None
        assert problem.code == "overloaded"
        assert int(problem.headers["Retry-After"]) > 0

    @pytest.mark.parametrize("sqlstate", ["23505", "42601", "22P02", ""])
    def test_a_bug_is_none(self, sqlstate: str) -> None:
        assert problem_of(failing(sqlstate)) is None

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (asyncpg.AdminShutdownError("terminating"), "database_unavailable"),
            (asyncpg.QueryCanceledError("took too long"), "overloaded"),
            (PoolTimeoutError(), "overloaded"),
            (failing("", lost=True), "database_unavailable"),
        ],
    )
    def test_errors_of_set_ups_and_pools(self, error: Exception, code: str) -> None:
        problem = problem_of(error)
        assert problem is not None
        assert problem.code == code

    @pytest.mark.parametrize("error", WITHOUT_SQLSTATE, ids=lambda error: type(error).__name__)
    def test_errors_without_a_sqlstate_are_no_bugs(self, error: Exception) -> None:
        """Raised as they are, as while a connection is opened, and wrapped by SQLAlchemy."""
        for raised in (error, DBAPIError("SELECT 1", {}, error)):
            problem = problem_of(raised)
            assert problem is not None
            assert (problem.status, problem.code) == (503, "database_unavailable")
            assert int(problem.headers["Retry-After"]) > 0

    @pytest.mark.parametrize(
        "error", [ValueError(), KeyError(), asyncpg.ClientConfigurationError("no"), INVALID_INPUT]
    )
    def test_wrong_arguments_are_a_bug(self, error: Exception) -> None:
        for raised in (error, DBAPIError("SELECT 1", {}, error)):
            assert problem_of(raised) is None

    @pytest.mark.parametrize("error", [UnknownOutcome("no answer"), failing("40003")])
    def test_an_unknown_outcome_is_told(self, error: Exception) -> None:
        problem = problem_of(error)
        assert problem is not None
        assert problem.code == "database_unavailable"
        assert "outcome is unknown" in str(problem)


def test_no_error_of_the_driver_is_forgotten() -> None:
    """One that a later version adds must be decided about."""
    known = {type(error) for error in (*WITHOUT_SQLSTATE, INVALID_INPUT)}
    known.add(asyncpg.ClientConfigurationError)
    ours = {
        kind
        for _, kind in inspect.getmembers(_base, inspect.isclass)
        if issubclass(kind, (asyncpg.InterfaceError, asyncpg.InternalClientError))
    }
    assert ours <= known


async def test_an_unknown_database_is_503(database: URL) -> None:
    other = database.set(database="satchel_test_there_is_none")
    async with running_app(other, migrate_on_start=False) as app, client_of(app) as client:
        answer = await client.get("/accounts")
    assert answer.status_code == 503
    assert answer.json()["code"] == "database_unavailable"


async def test_a_read_only_database_is_503_for_writes(database: URL) -> None:
    name = database.database
    async with running_app(database) as app, client_of(app) as client:
        await create_account(client)
        await execute(
            database.set(database="postgres"),
            f'ALTER DATABASE "{name}" SET default_transaction_read_only = on',
        )
        # Open sessions keep their setting.
        await app.state.statements.close()
        answer = await client.post("/accounts", json=account_body())
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert (await client.get("/accounts")).status_code == 200


async def test_a_cluster_without_a_primary_is_503(database: URL) -> None:
    """The driver has no SQLSTATE for it."""
    read_only = f'ALTER DATABASE "{database.database}" SET default_transaction_read_only = on'
    await execute(database, read_only)
    url = database.update_query_dict({"target_session_attrs": "read-write"})
    async with running_app(url, migrate_on_start=False) as app, client_of(app) as client:
        answers = [
            await client.get("/accounts"),
            await client.post("/accounts", json=account_body()),
            await client.post("/accounts", json=account_body(), headers={"Idempotency-Key": "k"}),
        ]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert int(answer.headers["retry-after"]) > 0


async def test_what_the_server_says_instead_of_a_connection_is_503(database: URL) -> None:
    """Whatever its SQLSTATE: here 42704, for a parameter that it does not know."""
    url = database.update_query_dict({"options": "-cno_such_parameter=1"})
    async with running_app(url, migrate_on_start=False) as app, client_of(app) as client:
        answer = await client.get("/accounts")
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")


async def test_a_timeout_is_overloaded(database: URL) -> None:
    limits = {"statement_timeout": 1, "lock_timeout": 0.1, "pool_size": 1}
    async with running_app(database, **limits) as app, client_of(app) as client:
        account = await create_account(client)
        url = f"/accounts/{account['id']}"
        engine = create_async_engine(database)
        async with engine.begin() as other:
            await other.execute(text("LOCK TABLE accounts"))
            answers = [await client.get(url), await client.get("/accounts")]
        await execute(
            database,
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(9); RETURN NEW; END $$",
            "CREATE TRIGGER slow BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION slow()",
        )
        answers += [
            await client.post("/accounts", json=account_body(), headers=headers)
            for headers in ({}, {"Idempotency-Key": "k"})
        ]
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
            assert int(answer.headers["retry-after"]) > 0
        assert (await client.get(url)).json() == account
        await engine.dispose()


async def test_terminated_connections_are_replaced(database: URL) -> None:
    async with running_app(database) as app, client_of(app) as client:
        await create_account(client)
        await execute(
            database.set(database="postgres"),
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            f" WHERE datname = '{database.database}'",
        )
        answers = [await client.get("/accounts") for _ in range(5)]
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert answers[-1].status_code == 200


def test_a_full_pool_is_503_within_5_seconds() -> None:
    """The queue for a connection, and then a lock."""
    assert connection_queue.POOL_WAIT_SECONDS + make_settings().lock_timeout <= 5


async def test_a_full_pool_is_503_after_its_timeout(
    database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_queue, "POOL_WAIT_SECONDS", 0.1)
    limits = {"pool_size": 1, **dict.fromkeys(LIMITS, 0)}
    engine = create_async_engine(database, poolclass=NullPool)
    async with running_app(database, **limits) as app, client_of(app) as client:
        async with engine.begin() as lock:
            await lock.execute(text("LOCK TABLE accounts"))
            holding = asyncio.create_task(client.get("/accounts"))
            await held_up(database)
            answer: httpx.Response = await client.get("/items")
            assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
            assert not holding.done()
        assert (await holding).status_code == 200
        assert (await client.get("/items")).status_code == 200
