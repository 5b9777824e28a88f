"""Killed between writes: what was acknowledged is there, and a repeated key has one effect."""

import asyncio
import secrets
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import httpx
import pytest
from sqlalchemy import URL

from tests.factories import account_body
from tests.failures.conftest import PATIENT, Cluster, assert_serves, client_for, environment_of
from tests.servers import Server
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.slow


class Writers:
    """Clients that write with keys, and repeat what they cannot be sure of."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.stopped = False
        self.acknowledged: dict[str, tuple[dict[str, Any], httpx.Response]] = {}
        self.doubts = 0
        self.replays = 0

    async def run(self) -> None:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            while not self.stopped:
                key, body = secrets.token_hex(8), account_body()
                answer = await self.write(client, key, body)
                self.acknowledged[key] = (body, answer)

    async def acknowledge(self, more: int) -> None:
        """Return when so many more writes have been acknowledged."""
        wanted = len(self.acknowledged) + more
        await until(lambda: len(self.acknowledged) >= wanted, "it acknowledges nothing")

    async def write(
        self, client: httpx.AsyncClient, key: str, body: dict[str, Any]
    ) -> httpx.Response:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    answer = await client.post(
                        f"{self.url}/accounts", json=body, headers={"Idempotency-Key": key}
                    )
                except httpx.TransportError:
                    self.doubts += 1
                else:
                    if answer.status_code == 201:
                        self.replays += "idempotency-replayed" in answer.headers
                        return answer
                    # 409: the first attempt's transaction has not heard of our end yet.
                    assert answer.status_code in {409, 503}, answer.text
                    self.doubts += 1
                await asyncio.sleep(0.02)


async def all_accounts(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = (await client.get(f"/accounts?limit=200{cursor}")).json()
        found += page["data"]
        if page["next_cursor"] is None:
            return sorted(found, key=itemgetter("id"))
        cursor = f"&cursor={page['next_cursor']}"


@pytest.mark.parametrize("victim", ["database", "service", "both"])
async def test_every_acknowledged_write_is_there_once(
    victim: str, database: URL, cluster: Cluster, start_server: Callable[..., Server]
) -> None:
    server = await asyncio.to_thread(start_server, environment_of(database), command=PATIENT)
    writers = Writers(server.url)
    tasks = [asyncio.create_task(writers.run()) for _ in range(6)]
    await writers.acknowledge(20)
    if victim != "service":
        tasks.append(asyncio.create_task(asyncio.to_thread(cluster.kill)))
    if victim != "database":
        server.process.kill()
        # It must start while the database is away, which one that migrates does not.
        environment = {**environment_of(database), "MIGRATE_ON_START": "false"}
        server = await asyncio.to_thread(start_server, environment, command=PATIENT)
        writers.url = server.url
    await until(lambda: writers.doubts, "nobody notices")
    await writers.acknowledge(20)
    writers.stopped = True
    await asyncio.gather(*tasks)

    async with client_for(server) as client:
        stored = await all_accounts(client)
        acknowledged = [answer.json() for _, answer in writers.acknowledged.values()]
        assert sorted(acknowledged, key=itemgetter("id")) == stored
        for key, (body, answer) in list(writers.acknowledged.items())[::20]:
            again = await writers.write(client, key, body)
            assert again.content == answer.content
            assert "idempotency-replayed" in again.headers
        assert await all_accounts(client) == stored
        await assert_serves(client)
