"""Only trusted proxies set the client's address and scheme."""

from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.edge.proxies import TrustedProxies
from app.main import create_app
from tests.applications import make_settings

PROXIES = ("10.0.0.0/8", "2001:db8::1")


async def seen_from(peer: str, **headers: str) -> tuple[str, str]:
    """Client and scheme of a request on a connection from `peer`."""
    seen: list[Scope] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    names = {"f": b"x-forwarded-for", "p": b"x-forwarded-proto", "r": b"x-real-ip"}
    scope: dict[str, Any] = {
        "type": "http",
        "client": (peer, 1),
        "scheme": "http",
        "headers": [(names[name], value.encode()) for name, value in headers.items()],
    }
    middleware: Any = TrustedProxies(app, PROXIES)
    await middleware(scope, None, None)
    return seen[0]["client"][0], seen[0]["scheme"]


class TestTrusted:
    @pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"])
    async def test_a_proxy_sets_client_and_scheme(self, peer: str) -> None:
        assert await seen_from(peer, f="192.0.2.1", p="https") == ("192.0.2.1", "https")

    @pytest.mark.parametrize(
        "forwarded",
        ["192.0.2.1", "1.1.1.1, 192.0.2.1", "10.9.9.9, 192.0.2.1, 10.0.0.2", "x, 192.0.2.1:4711"],
    )
    async def test_addresses_before_the_last_untrusted_one_are_ignored(
        self, forwarded: str
    ) -> None:
        assert await seen_from("10.1.2.3", f=forwarded) == ("192.0.2.1", "http")

    async def test_other_headers_and_schemes_are_ignored(self) -> None:
        assert await seen_from("10.1.2.3", r="192.0.2.1", p="gopher") == ("10.1.2.3", "http")


class TestUntrusted:
    @pytest.mark.parametrize("peer", ["192.0.2.9", "::ffff:192.0.2.9", "2001:db8::2", "127.0.0.1"])
    async def test_a_forged_header_changes_nothing(self, peer: str) -> None:
        assert await seen_from(peer, f="1.1.1.1", p="https") == (peer, "http")


async def request(app: Any, peer: str, *headers: tuple[bytes, bytes]) -> dict[bytes, bytes]:
    """Status and headers of the response to a request from this peer."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"",
        "root_path": "", "scheme": "http", "http_version": "1.1", "client": (peer, 1),
        "headers": list(headers),
    }  # fmt: skip
    await app(scope, None, send)
    return {b"status": str(sent[0]["status"]).encode(), **dict(sent[0]["headers"])}


class TestApplication:
    async def test_rate_limits_apply_to_the_client_behind_the_proxy(self) -> None:
        app = create_app(make_settings(trusted_proxies=PROXIES, rate_limit="1/minute"))
        one, other = (b"x-forwarded-for", b"192.0.2.1"), (b"x-forwarded-for", b"192.0.2.2")
        statuses = [
            (await request(app, "10.0.0.1", header))[b"status"] for header in (one, other, one)
        ]
        assert statuses == [b"200", b"200", b"429"]

    async def test_a_direct_client_cannot_choose_its_address(self) -> None:
        for proxies in ((), PROXIES):
            app = create_app(make_settings(trusted_proxies=proxies, rate_limit="1/minute"))
            statuses = [
                (await request(app, "192.0.2.9", (b"x-forwarded-for", b"192.0.2.%d" % n)))[
                    b"status"
                ]
                for n in range(3)
            ]
            assert statuses == [b"200", b"429", b"429"]

    async def test_https_requests_get_strict_transport_security(self) -> None:
        app = create_app(make_settings(trusted_proxies=PROXIES, hsts_max_age=86400))
        https = (b"x-forwarded-proto", b"https")
        name = b"strict-transport-security"
        assert (await request(app, "10.0.0.1", https))[name] == b"max-age=86400"
        assert name not in await request(app, "10.0.0.1")
        assert name not in await request(app, "192.0.2.9", https)
        app = create_app(make_settings(trusted_proxies=PROXIES))
        assert name not in await request(app, "10.0.0.1", https)

    async def test_refusals_of_guards_have_it_too(self) -> None:
        settings = make_settings(trusted_proxies=PROXIES, hsts_max_age=1, rate_limit="1/hour")
        app = create_app(settings)
        https = (b"x-forwarded-proto", b"https")
        await request(app, "10.0.0.1", https)
        refused = await request(app, "10.0.0.1", https)
        assert refused[b"status"] == b"429"
        assert refused[b"strict-transport-security"] == b"max-age=1"

    def test_without_proxies_there_is_no_middleware(self) -> None:
        app = create_app(make_settings())
        assert "TrustedProxies" not in str(app.user_middleware)
