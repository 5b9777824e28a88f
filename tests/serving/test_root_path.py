"""Behind a proxy that removes a prefix, all that a client may follow has the prefix."""

import asyncio
import re
from pathlib import Path

import httpx
import pytest
from sqlalchemy import URL

from tests.catalog import CATALOG
from tests.responses import assert_problem
from tests.servers import Server, server_environment
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

PREFIX = "/shop/v~1"


async def test_what_clients_follow_leads_through_the_prefix(
    database: URL, tmp_path: Path, measuring: dict[str, str]
) -> None:
    environment = server_environment(database)
    server = Server({**environment, "ROOT_PATH": PREFIX, **measuring}, cwd=tmp_path)
    try:
        # Those that ask the server itself need no prefix.
        await asyncio.to_thread(server.wait_until_ready)
        async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as proxy:

            async def follow(target: str) -> httpx.Response:
                assert target.startswith(f"{PREFIX}/")
                return await proxy.get(target.removeprefix(PREFIX))

            for entry in CATALOG:
                made = [
                    await proxy.post(entry.path, json=await entry.valid_body(proxy))
                    for _ in range(2)
                ]
                assert (await follow(made[0].headers["location"])).json() == made[0].json()
                first = await proxy.get(f"{entry.path}?limit=1")
                link = re.fullmatch('<([^>]+)>; rel="next"', first.headers["link"])
                assert link is not None
                assert (await follow(link[1])).status_code == 200
                answer = await proxy.get(f"{entry.path}/nobody")
                problem = assert_problem(answer, 422, "invalid_request")
                assert problem["instance"] == f"{PREFIX}{entry.path}/nobody"
                assert (await follow(problem["type"])).status_code == 200
            answer = await proxy.request("BREW", "/accounts")  # the server itself refuses it
            problem = assert_problem(answer, 501, "unknown_method")
            assert (await follow(problem["type"])).status_code == 200
            root = (await proxy.get("/")).json()
            document = (await follow(root["openapi"])).json()
            assert [each["url"] for each in document["servers"]] == [PREFIX]
            assert (await follow(root["docs"])).status_code == 200
    finally:
        server.stop()
