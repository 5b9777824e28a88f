"""Keys of an identity provider: fetched for many requests at once, rarely, and with limits."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from joserfc.jwk import RSAKey
from structlog.testing import capture_logs

from app.auth import jwks as module
from app.auth.jwks import FetchedKeys, FixedKeys
from app.errors import IdentityProviderUnavailable
from tests.auth.provider import EC, OTHER, RSA, Provider, jwks, serving
from tests.waiting import until

NAMELESS = RSAKey.import_key(RSA.as_pem(private=False))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with serving() as provider:
        yield provider


@pytest.fixture
def keys(provider: Provider, clock: Clock) -> FetchedKeys:
    return FetchedKeys(provider.url, ["RS256", "ES256"], clock)


async def kids(keys: FetchedKeys | FixedKeys, kid: str | None) -> list[str | None]:
    return [key.kid for key in await keys.find(kid)]


class TestFixedKeys:
    async def test_are_found_by_key_id(self) -> None:
        keys = FixedKeys([RSA, EC])
        assert await kids(keys, "ec") == ["ec"]
        assert await kids(keys, "unknown") == []
        assert await kids(keys, None) == ["rsa", "ec"]

    async def test_without_a_key_id_are_tried_for_every_token(self) -> None:
        assert await FixedKeys([NAMELESS]).find("any") == [NAMELESS]


class TestFetchedKeys:
    async def test_are_fetched_when_first_needed_and_kept(
        self, keys: FetchedKeys, provider: Provider
    ) -> None:
        assert provider.asked == []
        for _ in range(3):
            assert await kids(keys, "rsa") == ["rsa"]
        assert provider.asked == ["GET /jwks HTTP/1.1"]

    async def test_many_requests_share_a_fetch(self, keys: FetchedKeys, provider: Provider) -> None:
        provider.let_go.clear()
        finding = [asyncio.create_task(kids(keys, "rsa")) for _ in range(20)]
        await until(lambda: provider.asked)
        provider.let_go.set()
        assert await asyncio.gather(*finding) == [["rsa"]] * 20
        assert len(provider.asked) == 1

    async def test_cancelling_a_request_does_not_cancel_others(
        self, keys: FetchedKeys, provider: Provider
    ) -> None:
        provider.let_go.clear()
        first, second = (asyncio.create_task(kids(keys, "rsa")) for _ in range(2))
        await until(lambda: provider.asked)
        first.cancel()
        provider.let_go.set()
        assert await second == ["rsa"]

    async def test_an_unknown_key_id_fetches_once_a_minute_at_most(
        self, keys: FetchedKeys, provider: Provider, clock: Clock
    ) -> None:
        await keys.find("rsa")
        provider.body = jwks(RSA, EC, OTHER)
        for _ in range(3):
            assert await kids(keys, "other") == []
        clock.now += 59.9
        assert await kids(keys, "other") == []
        assert len(provider.asked) == 1
        clock.now += 0.1
        assert await kids(keys, "other") == ["other"]
        for name in ("a", "b"):
            assert await kids(keys, name) == []
        assert len(provider.asked) == 2

    async def test_are_refreshed_in_the_background(
        self, keys: FetchedKeys, provider: Provider, clock: Clock
    ) -> None:
        await keys.find("rsa")
        clock.now += 600
        provider.body = jwks(EC)
        assert await kids(keys, "rsa") == ["rsa"]
        task = keys._task
        assert task is not None
        await task
        assert await kids(keys, "rsa") == []
        assert await kids(keys, "ec") == ["ec"]
        assert len(provider.asked) == 2

    async def test_are_kept_when_the_provider_fails(
        self, keys: FetchedKeys, provider: Provider, clock: Clock
    ) -> None:
        await keys.find("rsa")
        provider.status = 500
        clock.now += 600
        with pytest.raises(IdentityProviderUnavailable) as caught:
            await keys.find("new")
        assert caught.value.headers["Retry-After"] == "60"
        assert await kids(keys, "rsa") == ["rsa"]
        assert len(provider.asked) == 2
        clock.now += 60
        provider.status = 200
        assert await kids(keys, "new") == []


class TestFailingProvider:
    @pytest.mark.parametrize(
        ("status", "headers", "body", "reason"),
        [
            (500, {}, b"", "status 500"),
            (302, {"Location": "http://127.0.0.1:1/"}, b"", "status 302"),
            (200, {}, b"<html>", "no key for JWT_ALGORITHMS"),
            (200, {}, b'{"keys": []}', "no key for JWT_ALGORITHMS"),
            (200, {"Content-Length": "9999"}, b"{", "RemoteProtocolError"),
            (200, {}, b"[" * (256 * 1024 + 1), "too large"),
        ],
    )
    async def test_is_asked_again_after_a_pause(
        self,
        keys: FetchedKeys,
        provider: Provider,
        clock: Clock,
        status: int,
        headers: dict[str, str],
        body: bytes,
        reason: str,
    ) -> None:
        provider.status, provider.headers, good = status, headers, provider.body
        provider.body = body
        with capture_logs() as logs:
            for _ in range(3):
                with pytest.raises(IdentityProviderUnavailable) as caught:
                    await keys.find("rsa")
                assert caught.value.headers["Retry-After"] == "5"
        assert [(line["log_level"], line["error"]) for line in logs] == [("warning", reason)]
        assert len(provider.asked) == 1
        provider.status, provider.headers, provider.body = 200, {}, good
        clock.now += 5
        assert await kids(keys, "rsa") == ["rsa"]

    async def test_that_is_unreachable_is_logged(self, clock: Clock) -> None:
        keys = FetchedKeys("http://127.0.0.1:1/jwks", ["RS256"], clock)
        with capture_logs() as logs, pytest.raises(IdentityProviderUnavailable):
            await keys.find("rsa")
        assert logs[0]["error"] == "ConnectError"

    async def test_that_hangs_is_abandoned(
        self, keys: FetchedKeys, provider: Provider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert module.FETCH_TIMEOUT_SECONDS == 5
        monkeypatch.setattr(module, "FETCH_TIMEOUT_SECONDS", 0.05)
        provider.let_go.clear()
        with capture_logs() as logs, pytest.raises(IdentityProviderUnavailable):
            await keys.find("rsa")
        # On a busy machine the timeout may come before the connection.
        assert logs[0]["error"] in ("TimeoutError", "ConnectTimeout", "ReadTimeout")
        provider.let_go.set()
        await until(lambda: provider.answered == len(provider.asked))
