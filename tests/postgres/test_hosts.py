"""The hosts of a URL: in which order they are tried, and what becomes of those that fail."""

import socket
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from asyncpg import InvalidPasswordError, TargetServerAttributeNotMatched
from sqlalchemy import URL, text

from app.postgres import engine as engines
from app.postgres import hosts as module
from app.postgres import loop_timeout as timeouts
from app.postgres.commits import Connection
from app.postgres.engine import make_engine
from app.postgres.hosts import Address, connect, try_last
from tests.applications import make_settings
from tests.waiting import come

MISMATCH = TargetServerAttributeNotMatched("none")
OPTIONS = {"host": ["a", "b", "c"], "port": [1, 2, 3], "target_session_attrs": "read-write"}


class Cluster:
    """Hosts, of which some fail, in place of real ones."""

    def __init__(self) -> None:
        self.failures: dict[str, Exception] = {}
        self.standbys: set[str] = set()
        self.tried: list[str] = []

    async def connect_to(
        self, address: Address, _seconds: float, options: Mapping[str, Any]
    ) -> Address:
        host, _ = address
        self.tried.append(host)
        if host in self.failures:
            raise self.failures[host]
        if options["target_session_attrs"] == "standby" and host not in self.standbys:
            raise MISMATCH
        return address

    async def tries(self, **options: Any) -> list[str]:
        self.tried.clear()
        await connect(1, {**OPTIONS, **options})
        return list(self.tried)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    cluster = Cluster()
    monkeypatch.setattr(module, "_connect_to", cluster.connect_to)
    yield cluster
    module._orders.clear()


async def test_the_last_good_one_comes_first(cluster: Cluster) -> None:
    assert await cluster.tries() == ["a"]
    cluster.failures["a"] = ConnectionRefusedError()
    assert await cluster.tries() == ["a", "b"]
    assert await cluster.tries() == ["b"]
    del cluster.failures["a"]
    cluster.failures["b"] = MISMATCH  # it is a standby now
    assert await cluster.tries() == ["b", "a"]


async def test_one_that_does_not_answer_comes_last(cluster: Cluster) -> None:
    cluster.failures = {"a": TimeoutError(), "b": ConnectionRefusedError()}
    assert await cluster.tries() == ["a", "b", "c"]
    cluster.failures["c"] = MISMATCH
    del cluster.failures["b"]
    assert await cluster.tries() == ["c", "b"]
    cluster.failures["b"] = MISMATCH
    with pytest.raises(TimeoutError):
        await cluster.tries()
    assert cluster.tried == ["b", "c", "a"]


async def test_those_who_want_another_have_an_order_of_their_own(cluster: Cluster) -> None:
    cluster.standbys.add("b")
    assert await cluster.tries(target_session_attrs="standby") == ["a", "b"]
    assert await cluster.tries() == ["a"]
    assert await cluster.tries(target_session_attrs="standby") == ["b"]
    assert await cluster.tries() == ["a"]


async def test_others_of_the_same_hosts_learn_of_it(cluster: Cluster) -> None:
    await cluster.tries()
    await cluster.tries(host=["a", "x", "y"])
    await cluster.tries(host=["x", "y", "z"])
    try_last(("a", 1))
    assert await cluster.tries() == ["b"]
    assert await cluster.tries(host=["a", "x", "y"]) == ["x"]


async def test_a_standby_is_preferred_to_others(cluster: Cluster) -> None:
    cluster.standbys = {"b"}
    assert await cluster.tries(target_session_attrs="prefer-standby") == ["a", "b"]
    cluster.standbys = set()
    cluster.failures["b"] = ConnectionRefusedError()
    assert await cluster.tries(target_session_attrs="prefer-standby") == ["b", "a", "c", "b", "a"]


@pytest.mark.parametrize(
    ("failures", "raised"),
    [
        ((MISMATCH, MISMATCH, MISMATCH), TargetServerAttributeNotMatched),
        ((ConnectionRefusedError(), MISMATCH, MISMATCH), ConnectionRefusedError),
        ((MISMATCH, InvalidPasswordError("no"), MISMATCH), InvalidPasswordError),
        ((TimeoutError(), ConnectionRefusedError(), MISMATCH), TimeoutError),
    ],
)
async def test_the_error_tells_most_of_the_cause(
    cluster: Cluster, failures: tuple[Exception, ...], raised: type[Exception]
) -> None:
    cluster.failures = dict(zip("abc", failures, strict=True))
    with pytest.raises(raised):
        await cluster.tries()
    assert cluster.tried == ["a", "b", "c"]


async def test_a_bug_is_raised_at_once(cluster: Cluster) -> None:
    cluster.failures["a"] = ValueError("no")
    with pytest.raises(ValueError, match="no"):
        await cluster.tries()
    assert cluster.tried == ["a"]


@pytest.mark.parametrize("for_migrations", [False, True])
async def test_each_has_its_own_time(
    database: URL, monkeypatch: pytest.MonkeyPatch, *, for_migrations: bool
) -> None:
    """The first takes connections, and never answers."""
    socket_folder = database.query.get("host")
    if not isinstance(socket_folder, str):
        pytest.skip("the test's database has no unix socket")
    monkeypatch.setattr(engines, "CONNECT_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(engines, "MIGRATION_CONNECT_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(timeouts, "STEP_SECONDS", 0.005)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = database.set(query={"host": [f"127.0.0.1:{port}", f"{socket_folder}:5432"]})
        settings = make_settings(pool_size=3)
        engine = make_engine(url, settings, for_migrations=for_migrations)
        for _ in range(2):
            async with engine.connect() as connection:
                assert await come(connection.scalar(text("SELECT 7"))) == 7
                driver: Any = (await connection.get_raw_connection()).driver_connection
                assert type(driver) is Connection
                assert driver.address == (socket_folder, 5432)
            await engine.dispose()
        silent.settimeout(0)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):  # it was tried once
            silent.accept()
