"""A cluster on loopback ports: three PostgreSQLs under Patroni, etcd, HAProxy and PgBouncer."""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from sqlalchemy import URL, make_url

from tests.cluster.configuration import API_USER, HOST, SUPERUSER, Configuration, Node
from tests.cluster.daemons import supervised
from tests.programs import find_file
from tests.waiting import PATIENCE, until

POLL_SECONDS = 0.2  # to ask costs processor time, which the cluster needs
# What clients get of a database that is being replaced.
ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Cluster:
    """A cluster with a database `satchel`, which a role of that name owns."""

    def __init__(self, parts: Configuration) -> None:
        self.parts = parts
        self.http = httpx.AsyncClient(auth=(API_USER, parts.password), timeout=PATIENCE)

    def url(self, port: int, **options: str) -> URL:
        user, password = "satchel", self.parts.password
        return URL.create("postgresql+asyncpg", user, password, HOST, port, "satchel", options)

    def url_of_all_nodes(self) -> URL:
        hosts = "&".join(f"host={node.address}" for node in self.parts.nodes)
        text = f"postgresql+asyncpg://satchel:{self.parts.password}@/satchel?{hosts}"
        return make_url(f"{text}&target_session_attrs=read-write")

    async def query(self, node: Node, sql: str, *values: Any, database: str = "satchel") -> Any:
        """The rows of a superuser's query on one node. Errors: ERRORS."""
        connection = await asyncpg.connect(
            host=HOST,
            port=node.port,
            user=SUPERUSER,
            password=self.parts.password,
            database=database,
            timeout=5,
        )
        try:
            return await connection.fetch(sql, *values, timeout=PATIENCE)
        finally:
            connection.terminate()

    async def roles(self) -> dict[str, Node]:
        """The nodes that run, by their roles; of two replicas one."""
        nodes = {node.name: node for node in self.parts.nodes}
        for node in self.parts.nodes:
            with suppress(httpx.TransportError):
                answer = await self.http.get(f"http://{HOST}:{node.api}/cluster", timeout=5)
                members = answer.json()["members"] if answer.is_success else []
                running = ("running", "streaming")  # the latter from Patroni 3.1 on
                return {m["role"]: nodes[m["name"]] for m in members if m["state"] in running}
        return {}

    async def standbys(self) -> list[str]:
        """How the standbys of the primary replicate; empty if it cannot be asked."""
        with suppress(KeyError, *ERRORS):
            rows = await self.query(
                (await self.roles())["leader"],
                "SELECT sync_state FROM pg_stat_replication"
                " WHERE state = 'streaming' AND application_name LIKE 'node%'",
                database="postgres",
            )
            return sorted(row["sync_state"] for row in rows)
        return []

    async def settle(self, *standbys: str) -> None:
        """Return once all nodes run, with such standbys: by default one of them is synchronous."""

        expected = list(standbys or ("async", "sync"))
        roles = {"leader", "replica"} | ({"sync_standby"} if "sync" in expected else set())

        async def settled() -> bool:
            report = (self.parts.home / "supervisor.log").read_text()
            assert not report, f"{report}\n{self.logs()}"
            return await self.standbys() == expected and (await self.roles()).keys() == roles

        await self._wait(settled, "all nodes to run")

    async def wait_for(self, role: str, *, other_than: Node) -> Node:
        """The next node that has the role."""
        found = other_than

        async def has_role() -> bool:
            nonlocal found
            found = (await self.roles()).get(role, other_than)
            return found != other_than

        await self._wait(has_role, f"another node to be the {role}")
        return found

    async def configure(self, **settings: Any) -> None:
        """Change settings of Patroni, which follows within seconds."""
        leader = (await self.roles())["leader"]
        answer = await self.http.patch(f"http://{HOST}:{leader.api}/config", json=settings)
        answer.raise_for_status()

    async def switch_over(self) -> None:
        leader = (await self.roles())["leader"]
        answer = await self.http.post(
            f"http://{HOST}:{leader.api}/switchover", json={"leader": leader.name}
        )
        assert answer.status_code == 200, answer.text

    def kill_postgres(self, node: Node) -> None:
        pid = (node.home / "data" / "postmaster.pid").read_text().split()[0]
        os.kill(int(pid), signal.SIGKILL)

    async def _wait(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        async def holds() -> bool:
            await asyncio.sleep(POLL_SECONDS)
            return await condition()

        try:
            await until(holds, f"waited in vain for {what}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None

    def logs(self) -> str:
        """The last lines of all logs."""
        logs = sorted(self.parts.home.glob("*.log"))
        return "\n".join(f"{log.name}:\n{log.read_text()[-3000:]}" for log in logs)


@asynccontextmanager
async def running_cluster(home: Path) -> AsyncIterator[Cluster]:
    """A cluster in this folder, which is empty, while the block runs."""
    etcd = find_file("/usr/bin/etcd", "etcd-server")
    patroni = find_file("/usr/bin/patroni", "patroni")
    haproxy = find_file("/usr/sbin/haproxy", "haproxy")
    pgbouncer = find_file("/usr/sbin/pgbouncer", "pgbouncer")
    # Each Patroni of Debian knows this version of PostgreSQL, the oldest that Satchel supports.
    postgres = find_file("/usr/lib/postgresql/15/bin/postgres", "postgresql-15")
    parts = Configuration(home, postgres.parent, secrets.token_hex(16))
    settings = [parts.write_patroni(node) for node in parts.nodes]
    proxy_settings, pooler_settings = parts.write_haproxy(), parts.write_pgbouncer()
    cluster = Cluster(parts)
    async with cluster.http:
        with supervised(home) as run:
            run("etcd", etcd, *parts.etcd_options())
            await _close_etcd(cluster)
            for node, file in zip(parts.nodes, settings, strict=True):
                run(node.name, patroni, file)
            run("haproxy", haproxy, "-db", "-f", proxy_settings)
            run("pgbouncer", pgbouncer, pooler_settings)
            await cluster.settle()
            await _create_database(cluster)
            yield cluster


async def _close_etcd(cluster: Cluster) -> None:
    """Have etcd ask for a password: who writes to it has commands run by Patroni."""
    url, password = cluster.parts.etcd_url, cluster.parts.password
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as http:

        async def answers() -> bool:
            with suppress(httpx.TransportError):
                return (await http.get("/health")).is_success
            return False

        await until(answers, "etcd does not answer")
        for path, body in {
            "user/add": {"name": "root", "password": password},
            "role/add": {"name": "root"},
            "user/grant": {"user": "root", "role": "root"},
            "enable": {},
        }.items():
            (await http.post(f"/v3/auth/{path}", json=body)).raise_for_status()


async def _create_database(cluster: Cluster) -> None:
    """A role has the limits that Satchel cannot set through PgBouncer."""
    leader = (await cluster.roles())["leader"]
    limits = {"statement_timeout": 5, "lock_timeout": 2, "idle_in_transaction_session_timeout": 10}
    for statement in (
        f"CREATE ROLE satchel LOGIN PASSWORD '{cluster.parts.password}'",
        *(f"ALTER ROLE satchel SET {name} = '{limit}s'" for name, limit in limits.items()),
        "CREATE DATABASE satchel OWNER satchel",
    ):
        await cluster.query(leader, statement, database="postgres")

    async def is_everywhere() -> bool:
        with suppress(*ERRORS):
            for node in cluster.parts.nodes:
                await cluster.query(node, "SELECT")
            return True
        return False

    # A client that tries all nodes ends with a standby that does not know the database yet.
    await until(is_everywhere, "the standbys have no database")


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """Processes hang while the block runs."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
