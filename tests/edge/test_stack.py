"""Pages for people cannot be framed and tell nobody where their reader comes from."""

import httpx2
import pytest


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/problems/rate-limited"])
async def test_pages_are_shut_in(client: httpx2.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    policy = headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy)
    assert "form-action 'none'" in policy
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"


async def test_by_default_no_answer_asks_for_https(client: httpx2.AsyncClient) -> None:
    assert "strict-transport-security" not in (await client.get("/")).headers
