"""One cluster and a Satchel for each way to it, both builds, and the table that closes a run."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.postgres.migrations import migrate
from tests.cluster.builds import install_build_before, make_build_after
from tests.cluster.cluster import Cluster, running_cluster
from tests.cluster.writers import Writers, past_satchel, through_satchel
from tests.databases import server_folder
from tests.factories import account_body
from tests.servers import Server, server_environment
from tests.waiting import PATIENCE, until

COLUMNS = ("event", "through", "longest gap", "mark", "acknowledged", "lost", "doubled", "others")
TABLE: pytest.StashKey[list[tuple[str, ...]]] = pytest.StashKey()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """What was measured. The marks are for a machine that has nothing else to do."""
    rows = config.stash.get(TABLE, [])
    if rows:
        terminalreporter.section("measured on the cluster")
        table = [COLUMNS, *rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for row in table:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            terminalreporter.write_line("  ".join(cells).rstrip())


@pytest.fixture(scope="session")
def record(pytestconfig: pytest.Config) -> Callable[..., None]:
    """Adds a row to the closing table."""
    rows = pytestconfig.stash.setdefault(TABLE, [])
    return lambda *cells: rows.append(tuple(map(str, cells)))


@pytest.fixture(scope="session")
async def cluster() -> AsyncIterator[Cluster]:
    with server_folder() as folder:
        folder.chmod(0o711)  # the daemons may have to run as another user, who must get in
        home = folder / "cluster"
        home.mkdir(mode=0o700)
        async with running_cluster(home) as cluster:
            yield cluster


@pytest.fixture(scope="session")
async def satchels(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Server]]:
    """Servers by the way that each takes to the primary. Nothing restarts them."""
    all_nodes = cluster.url_of_all_nodes()
    engine = create_async_engine(all_nodes, poolclass=NullPool)
    await migrate(engine)
    ways = {
        "HAProxy": (cluster.url(cluster.parts.primary), {"WORKERS": "2"}),
        "several hosts": (all_nodes, {}),
        "PgBouncer, HAProxy": (
            cluster.url(cluster.parts.pooler),
            {"DATABASE_POOLER": "transaction"},
        ),
    }
    servers = {}
    try:
        for name, (url, more) in ways.items():
            environment = {"MIGRATE_ON_START": "false", "POOL_SIZE": "5", **more}
            folder = tmp_path_factory.mktemp("satchel")
            servers[name] = Server({**server_environment(url), **environment}, cwd=folder)
        for server in servers.values():
            await asyncio.to_thread(server.wait_until_ready)
        yield servers
    finally:
        for server in servers.values():
            server.stop()


@pytest.fixture
async def writers(cluster: Cluster, satchels: dict[str, Server]) -> AsyncIterator[list[Writers]]:
    """Those that write through each Satchel, and one that does without."""
    await cluster.settle()
    leader = (await cluster.roles())["leader"]
    await cluster.query(leader, "CREATE TABLE IF NOT EXISTS plain_writes (id text, name text)")
    await cluster.query(leader, "GRANT ALL ON plain_writes TO satchel")
    async with AsyncExitStack() as stack:
        plain = await stack.enter_async_context(past_satchel(cluster))
        clients = {
            name: await stack.enter_async_context(
                httpx.AsyncClient(base_url=server.url, timeout=PATIENCE)
            )
            for name, server in satchels.items()
        }
        account_id = await _create_account(next(iter(clients.values())))
        through = [
            Writers(name, through_satchel(client, account_id)) for name, client in clients.items()
        ]
        yield [*through, Writers("without Satchel", plain, "plain_writes", keyed=0, unkeyed=1)]


async def _create_account(client: httpx.AsyncClient) -> str:
    created: httpx.Response | None = None

    async def is_created() -> bool:
        nonlocal created
        created = await client.post("/accounts", json=account_body())
        return created.status_code == 201

    await until(is_created, "no account can be created")
    assert created is not None
    return str(created.json()["id"])


@pytest.fixture(scope="session")
def build_before(pytestconfig: pytest.Config) -> Path:
    """The folder of its programs."""
    return install_build_before(pytestconfig)


@pytest.fixture(scope="session")
def build_after(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its program."""
    return make_build_after(tmp_path_factory.mktemp("after"))
