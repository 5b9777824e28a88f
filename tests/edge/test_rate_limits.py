"""Rate limits of principals and addresses."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from starlette.types import Scope

from app.auth.key_format import make_key
from app.auth.keys import create_key
from app.config import Settings
from app.edge.rate_limits import RateLimit, network_of
from app.errors import RateLimited
from tests.applications import make_settings
from tests.auth.provider import AUDIENCE, ISSUER, RSA, claims, jwks, signed
from tests.responses import assert_problem


@pytest.fixture
def settings() -> Settings:
    return make_settings(rate_limit="3/minute")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The clock of rate limits, which tests can set."""
    now = [1000.0]
    monkeypatch.setattr("app.edge.rate_limits.time.monotonic", lambda: now[0])
    yield now
    monkeypatch.undo()


def scope(client: str | None = "192.0.2.1", path: str = "/accounts", **state: Any) -> Scope:
    address = None if client is None else (client, 1)
    return {"type": "http", "path": path, "root_path": "", "client": address, "state": state}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def passes(limit: RateLimit, *scopes: Scope) -> list[bool]:
    found = []
    for one in scopes:
        try:
            await limit(one)
        except RateLimited:
            found.append(False)
        else:
            found.append(True)
    return found


class TestAnswers:
    async def test_count_down_and_then_refuse(
        self, client: httpx.AsyncClient, statements: list[str]
    ) -> None:
        for left in (2, 1, 0):
            answer = await client.get("/accounts")
            assert answer.status_code == 200
            assert answer.headers["ratelimit-policy"] == '"default";q=3;w=60'
            assert re.fullmatch(rf'"default";r={left};t=(60|5\d)', answer.headers["ratelimit"])
        ran = len(statements)
        assert ran == 3
        answer = await client.get("/accounts")
        assert_problem(answer, 429, "rate_limited", {})
        assert answer.headers.get_list("ratelimit-policy") == ['"default";q=3;w=60']
        (state,) = answer.headers.get_list("ratelimit")
        assert state == f'"default";r=0;t={answer.headers["retry-after"]}'
        assert 50 < int(answer.headers["retry-after"]) <= 60
        await client.post("/accounts", json={})
        assert len(statements) == ran

    async def test_have_headers_in_errors_too(self, client: httpx.AsyncClient) -> None:
        for status, path in ((404, "/nowhere"), (422, "/accounts?x=1"), (405, "/accounts")):
            answer = await client.request("PUT" if status == 405 else "GET", path)
            assert answer.status_code == status
            assert answer.headers["ratelimit-policy"] == '"default";q=3;w=60'

    async def test_of_probes_have_no_limit(self, client: httpx.AsyncClient) -> None:
        for path in ("/livez", "/readyz") * 4:
            answer = await client.get(path)
            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers
        assert (await client.get("/accounts")).headers["ratelimit"].startswith('"default";r=2;')

    async def test_of_probes_have_none_behind_a_prefix(self, app: FastAPI) -> None:
        transport = httpx.ASGITransport(app, root_path="/shop")
        async with httpx.AsyncClient(transport=transport, base_url="http://t/shop/") as client:
            answers = [await client.get("livez") for _ in range(5)]
        assert {answer.status_code for answer in answers} == {200}


class TestOff:
    @pytest.fixture
    def settings(self) -> Settings:
        return make_settings()

    async def test_no_headers_and_no_refusals(self, client: httpx.AsyncClient) -> None:
        for _ in range(20):
            answer = await client.get("/")
            assert answer.status_code == 200
            assert not any(name.startswith("ratelimit") for name in answer.headers)


class TestClients:
    async def test_count_apart(self) -> None:
        limit = RateLimit(1, 60)
        one, other = scope("192.0.2.1"), scope("192.0.2.2")
        assert await passes(limit, one, other, one, other) == [True, True, False, False]

    async def test_are_principals_from_any_address(self) -> None:
        limit = RateLimit(2, 60)
        seen = [scope(f"192.0.2.{n}", principal="shop") for n in range(3)]
        assert await passes(limit, *seen) == [True, True, False]
        assert await passes(limit, scope("192.0.2.1", principal="other")) == [True]
        assert await passes(limit, scope("192.0.2.1"), scope("shop")) == [True, True]

    async def test_without_an_address_are_one(self) -> None:
        limit = RateLimit(1, 60)
        assert await passes(limit, scope(None), scope(None)) == [True, False]

    @pytest.mark.parametrize(
        ("host", "network"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::", "2001:db8:1:2::"),
            ("2001:db8:1:3::", "2001:db8:1:3::"),
            ("testclient", "testclient"),
        ],
    )
    def test_with_ipv6_are_networks(self, host: str, network: str) -> None:
        assert network_of(host) == network


class TestRefused:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        (tmp_path / "jwks.json").write_bytes(jwks(RSA))
        return make_settings(
            rate_limit="3/minute",
            auth_mode="on",
            jwt_issuer=ISSUER,
            jwt_audience=AUDIENCE,
            jwt_key_file=tmp_path / "jwks.json",
        )

    @pytest.fixture
    async def session(self, connection: AsyncConnection) -> AsyncIterator[AsyncSession]:
        mode = "create_savepoint"
        async with AsyncSession(connection, join_transaction_mode=mode) as session:
            yield session

    async def test_without_good_credentials_counts_for_the_address(
        self, client: httpx.AsyncClient, statements: list[str]
    ) -> None:
        for n in range(3):
            wrong = {"Authorization": f"Bearer satchel_{n}"}
            assert_problem(await client.get("/accounts", headers=wrong), 401, "unauthenticated", {})
        for headers in ({}, {"Authorization": "Bearer satchel_3"}):
            answer = await client.get("/accounts", headers=headers)
            assert_problem(answer, 429, "rate_limited", {})
        assert statements == []

    async def test_with_unknown_keys_looks_up_no_more_than_the_limit(
        self, app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[bytes] = []
        find = app.state.key_lookup.find

        async def count(digest: bytes) -> Any:
            asked.append(digest)
            return await find(digest)

        monkeypatch.setattr(app.state.key_lookup, "find", count)

        async def ask() -> int:
            return (await client.get("/accounts", headers=bearer(make_key("testing")))).status_code

        together = sorted(await asyncio.gather(*(ask() for _ in range(10))))
        assert together == [401] * 3 + [429] * 7
        assert [await ask() for _ in range(5)] == [429] * 5
        assert len(asked) == 3

    async def test_leaves_known_credentials_of_the_address_alone(
        self, client: httpx.AsyncClient, session: AsyncSession, statements: list[str]
    ) -> None:
        tokens = [signed(claims(sub="ada", scope="read"))]
        for name in ("one", "two", "three", "four"):  # more than the limit of an address
            new = await create_key(session, "testing", name, "read", None)
            tokens.append(new.secret)
        for token in tokens:
            assert (await client.get("/nothing", headers=bearer(token))).status_code == 404
        for _ in range(3):
            assert (await client.get("/nothing")).status_code == 401
        for token in tokens:
            assert (await client.get("/nothing", headers=bearer(token))).status_code == 404
        new = await create_key(session, "testing", "five", "read", None)
        statements.clear()
        for unseen in (new.secret, signed(claims(sub="bob", scope="read"))):
            assert (await client.get("/nothing", headers=bearer(unseen))).status_code == 429
        assert statements == []

    async def test_without_the_scope_counts_for_the_principal(
        self, client: httpx.AsyncClient, session: AsyncSession
    ) -> None:
        tokens = [signed(claims(sub="ada", scope="read"))]
        tokens.append((await create_key(session, "testing", "shop", "read", None)).secret)
        for token in tokens:
            answers = [await client.post("/nothing", headers=bearer(token)) for _ in range(4)]
            assert [answer.status_code for answer in answers] == [403, 403, 403, 429]
        assert (await client.get("/nothing")).status_code == 401  # the address has its own window

    async def test_because_the_database_is_away_does_not_count(
        self, app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(*_: object) -> Any:
            raise ConnectionRefusedError

        monkeypatch.setattr(app.state.statements, "execute", fail)
        for _ in range(5):
            answer = await client.get("/nothing", headers=bearer(make_key("testing")))
            assert answer.status_code == 503


class TestWindows:
    async def test_end_and_begin_anew(self, clock: list[float]) -> None:
        limit = RateLimit(1, 60)
        assert await passes(limit, scope(), scope()) == [True, False]
        clock[0] += 59.5
        with pytest.raises(RateLimited) as caught:
            await limit(scope())
        assert caught.value.headers["Retry-After"] == "1"
        clock[0] += 0.5
        assert await passes(limit, scope(), scope()) == [True, False]

    async def test_that_have_ended_are_removed(self, clock: list[float]) -> None:
        limit = RateLimit(1, 60)
        for number in range(500):
            await limit(scope(f"client {number}"))
            clock[0] += 1
        assert len(limit._windows) == 60

    async def test_are_bounded_and_the_oldest_goes_first(self) -> None:
        limit = RateLimit(1, 60, capacity=3)
        assert await passes(limit, *map(scope, "abcad")) == [True, True, True, False, True]
        assert await passes(limit, *map(scope, "bcd")) == [False, False, False]
        assert await passes(limit, *map(scope, "ab")) == [True, True]
