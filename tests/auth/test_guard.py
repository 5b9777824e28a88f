"""The guard: what each kind of credentials may do on every route, before anything else runs."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from starlette._utils import get_route_path

from app.auth import jwts as verifier
from app.auth import keys as service
from app.auth.guard import PUBLIC, Credentials
from app.auth.jwts import make_verifier
from app.auth.key_format import digest_of, make_key, prefix_of
from app.config import Settings
from app.edge import middleware
from app.errors import Unauthenticated
from app.main import create_app
from tests.applications import client_of, make_settings
from tests.auth.provider import (
    AUDIENCE,
    EC,
    ISSUER,
    OTHER,
    RSA,
    claims,
    hmac_signed,
    jwks,
    part,
    serving,
    signed,
)
from tests.databases import OneConnection
from tests.factories import account_body
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
ID = "01890a5d-ac96-774b-bcce-b302099a8057"
PASS = 0
# The status of a request that reads, and of one that writes.
TABLE = {
    "none": (401, 401),
    "another scheme": (401, 401),
    "no token": (401, 401),
    "garbage": (401, 401),
    "two": (401, 401),
    "key: malformed": (401, 401),
    "key: unknown": (401, 401),
    "key: of another mode": (401, 401),
    "key: expired": (401, 401),
    "key: revoked": (401, 401),
    "key: read": (PASS, 403),
    "key: write": (PASS, PASS),
    "key: admin": (PASS, PASS),
    "jwt: read": (PASS, 403),
    "jwt: write": (PASS, PASS),
    "jwt: admin": (PASS, PASS),
    "jwt: no scope": (403, 403),
    "jwt: expired": (401, 401),
    "jwt: wrong audience": (401, 401),
    "jwt: wrong issuer": (401, 401),
    "jwt: alg none": (401, 401),
    "jwt: HMAC with the public key": (401, 401),
    "jwt: unknown kid": (401, 401),
    "jwt: another's signature": (401, 401),
}
READING = {"GET", "HEAD", "OPTIONS"}
# The templates of public routes.
OPEN = {
    *("/", "/livez", "/readyz", "/docs", "/redoc", "/openapi.json", "/openapi.sdk.json"),
    *("/docs/assets/{fingerprint}/{name}", "/problems/{slug}"),
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "jwks.json").write_bytes(jwks(RSA, EC))
    return make_settings(
        auth_mode="on",
        jwt_issuer=ISSUER,
        jwt_audience=AUDIENCE,
        jwt_key_file=tmp_path / "jwks.json",
        jwt_algorithms="RS256,ES256",
    )


@pytest.fixture
async def session(connection: AsyncConnection) -> AsyncIterator[AsyncSession]:
    mode = "create_savepoint"
    async with AsyncSession(connection, join_transaction_mode=mode) as session:
        yield session


async def make(session: AsyncSession, name: str, scope: str = "write", **values: Any) -> str:
    key = await service.create_key(session, "testing", name, scope, values.get("expires"))
    return key.secret


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def headers(session: AsyncSession) -> dict[str, list[tuple[str, str]]]:
    """The headers for each line of the table."""
    keys = {scope: await make(session, scope, scope) for scope in ("read", "write", "admin")}
    gone = await make(session, "gone")
    await service.revoke_keys(session, "gone")
    late = await make(session, "late")
    await service.rotate_key(session, "testing", "late", timedelta(), None)
    tokens = {
        "no token": "",
        "garbage": "hunter2",
        "key: malformed": f"{keys['admin'][:-1]}!",
        "key: unknown": make_key("testing"),
        "key: of another mode": make_key("production"),
        "key: expired": late,
        "key: revoked": gone,
        **{f"key: {scope}": key for scope, key in keys.items()},
        **{f"jwt: {scope}": signed(claims(scope=scope)) for scope in ("read", "write", "admin")},
        "jwt: no scope": signed(claims(scope=None)),
        "jwt: expired": signed(claims(exp=1)),
        "jwt: wrong audience": signed(claims(aud="other")),
        "jwt: wrong issuer": signed(claims(iss="other")),
        "jwt: alg none": f"{part({'alg': 'none'})}.{part(claims())}.",
        "jwt: HMAC with the public key": hmac_signed(claims(scope="admin")),
        "jwt: unknown kid": signed(claims(), OTHER),
        "jwt: another's signature": signed(claims(), OTHER, kid="rsa"),
    }
    found = {name: [("Authorization", f"Bearer {token}")] for name, token in tokens.items()}
    good = found["key: admin"][0]
    found |= {"none": [], "two": [good, good], "another scheme": [("Authorization", "Basic YTpi")]}
    assert found.keys() == TABLE.keys()
    return found


def scope_of(path: str, root_path: str = "", **headers: str) -> dict[str, Any]:
    fields = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "root_path": root_path, "state": {}}
    return {**scope, "query_string": b"", "headers": fields}


def operations(app: FastAPI) -> list[tuple[str, str]]:
    """Every route with its methods, and with four that any route may lack."""
    found = set()
    for route in iter_route_contexts(app.routes):
        for method in {*(route.methods or ()), "HEAD", "OPTIONS", "TRACE", "BREW"}:
            found.add((method, str(route.path_format)))
    return sorted(found)


class TestMatrix:
    @pytest.mark.parametrize("name", TABLE)
    async def test_every_route_and_method(
        self,
        name: str,
        app: FastAPI,
        client: httpx.AsyncClient,
        headers: dict[str, list[tuple[str, str]]],
    ) -> None:
        walked = operations(app)
        assert {path for _, path in walked} >= OPEN | {"/accounts", "/items/{item_id}"}
        for method, template in walked:
            path = re.sub(r"\{\w+\}", ID, template)
            answer = await client.request(method, path, headers=headers[name])
            reading, writing = TABLE[name]
            expected = PASS if template in OPEN else reading if method in READING else writing
            if expected == PASS:
                assert answer.status_code not in (401, 403), (method, path)
                assert "www-authenticate" not in answer.headers
                continue
            assert answer.status_code == expected, (method, path)
            scope = "read" if method in READING else "write"
            if expected == 403:
                challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
            elif name in ("none", "another scheme", "no token"):
                challenge = "Bearer"
            else:
                challenge = 'Bearer error="invalid_token"'
            assert answer.headers["www-authenticate"] == challenge
            if method != "HEAD":
                body = answer.json()
                code = "forbidden" if expected == 403 else "unauthenticated"
                assert (body["code"], body["status"]) == (code, expected)
                assert body["type"] == f"/problems/{code}"
                assert (
                    expected != 403 or body["detail"] == f"The credentials lack the scope {scope}."
                )

    async def test_paths_without_a_route_too(
        self, client: httpx.AsyncClient, headers: dict[str, list[tuple[str, str]]]
    ) -> None:
        for path in ("/nothing", "/docs/nothing", "/favicon.ico"):
            assert (await client.get(path)).status_code == 401
            assert (await client.get(path, headers=headers["key: read"])).status_code == 404
            assert (await client.post(path, headers=headers["key: read"])).status_code == 403

    async def test_the_scheme_is_written_in_any_case(
        self, client: httpx.AsyncClient, session: AsyncSession
    ) -> None:
        key = await make(session, "ci")
        for scheme in ("bearer", "BEARER", "Bearer "):
            headers = {"Authorization": f"{scheme} {key}"}
            assert (await client.get("/items", headers=headers)).status_code == 200


class TestWithoutJWT:
    @pytest.fixture
    def settings(self) -> Settings:
        return make_settings(auth_mode="on")

    async def test_tokens_are_garbage(
        self, client: httpx.AsyncClient, session: AsyncSession
    ) -> None:
        assert (await client.get("/items", headers=bearer(signed(claims())))).status_code == 401
        key = await make(session, "ci")
        assert (await client.get("/items", headers=bearer(key))).status_code == 200


class TestOrder:
    @pytest.mark.parametrize(("token", "status"), [(None, 401), ("read", 403)])
    async def test_comes_before_everything_else(
        self,
        client: httpx.AsyncClient,
        headers: dict[str, list[tuple[str, str]]],
        token: str | None,
        status: int,
    ) -> None:
        sent = dict(headers[f"key: {token}"] if token else [])
        wrong = {**sent, "Content-Type": "text/plain"}
        large = b"x" * 2_000_000
        answers = [
            await client.post("/nothing", headers=sent),
            await client.post(f"/accounts/{ID}", headers=sent),  # 405
            await client.post("/accounts", headers=wrong, content=large),  # 413
            await client.post("/accounts", headers=wrong, content=b"x"),  # 415
            await client.post("/accounts", headers=sent, json={"x": 1}),  # 422
            await client.delete(f"/accounts/{ID}", headers=sent),  # 404
        ]
        assert [answer.status_code for answer in answers] == [status] * len(answers)


class TestSwitchedOff:
    @pytest.fixture
    def settings(self) -> Settings:
        return make_settings()

    async def test_no_credentials_are_needed(
        self, client: httpx.AsyncClient, statements: list[str]
    ) -> None:
        for sent in ({}, bearer(make_key("testing")), bearer("garbage")):
            assert (await client.get("/items", headers=sent)).status_code == 200
            assert (await client.post("/items", headers=sent)).status_code == 400
        assert not any("api_keys" in statement for statement in statements)


class TestStatements:
    async def test_refusals_need_none_but_one_for_a_well_formed_unknown_key(
        self,
        client: httpx.AsyncClient,
        headers: dict[str, list[tuple[str, str]]],
        statements: list[str],
    ) -> None:
        for name, (reading, _) in TABLE.items():
            before = len(statements)
            for _ in range(3):
                answer = await client.get(f"/items/{ID}", headers=headers[name])
                assert answer.status_code == (reading or 404)
            if reading != PASS:
                asked = name in ("key: unknown", "key: expired", "key: revoked")
                assert len(statements) - before == asked, name
        before = len(statements)
        for _ in range(3):  # known by now
            assert (await client.delete("/items/x", headers=headers["key: read"])).is_error
        assert len(statements) == before

    async def test_many_requests_of_a_new_key_share_one(
        self, client: httpx.AsyncClient, session: AsyncSession, statements: list[str]
    ) -> None:
        key = await make(session, "ci")
        statements.clear()
        answers = await asyncio.gather(
            *(client.get("/nothing", headers=bearer(key)) for _ in range(20))
        )
        assert {answer.status_code for answer in answers} == {404}
        assert len(statements) == 1


class ShuttingDown(Exception):
    sqlstate = "57P01"


class TestDatabaseAway:
    @pytest.mark.parametrize(
        ("error", "status", "code"),
        [
            (ConnectionRefusedError(), 503, "database_unavailable"),
            (TimeoutError(), 503, "database_unavailable"),
            (OperationalError("x", {}, ShuttingDown()), 503, "database_unavailable"),
            (ProgrammingError("x", {}, Exception()), 500, "internal"),
        ],
    )
    async def test_is_no_401(
        self,
        app: FastAPI,
        client: httpx.AsyncClient,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
        status: int,
        code: str,
    ) -> None:
        async def execute(*_: Any, **__: Any) -> Any:
            raise error

        monkeypatch.setattr(app.state.statements, "execute", execute)
        answer = await client.get("/items", headers=bearer(make_key("testing")))
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert (await client.get("/items", headers=bearer("garbage"))).status_code == 401


class TestIdentityProviderAway:
    async def test_affects_only_tokens_that_need_it(
        self, connection: AsyncConnection, session: AsyncSession
    ) -> None:
        async with serving() as provider:
            provider.status = 500
            app = create_app(
                make_settings(
                    auth_mode="on",
                    jwt_issuer=ISSUER,
                    jwt_audience=AUDIENCE,
                    jwt_jwks_url=provider.url,
                )
            )
            app.state.statements = OneConnection(connection)
            async with client_of(app) as client:
                answer = await client.get("/nothing", headers=bearer(signed(claims())))
                assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
                assert answer.headers["retry-after"] == "5"
                assert "identity provider" in answer.json()["detail"]
                for token in (hmac_signed(claims()), "garbage", make_key("testing")):
                    answer = await client.get("/nothing", headers=bearer(token))
                    assert answer.status_code == 401
                key = await make(session, "ci")
                assert (await client.get("/nothing", headers=bearer(key))).status_code == 404
            assert len(provider.asked) == 1


class TestPrincipal:
    async def test_is_in_the_state_of_the_request(
        self, app: FastAPI, settings: Settings, session: AsyncSession
    ) -> None:
        guard = Credentials(app.state.key_lookup, settings.mode, make_verifier(settings))
        key = await make(session, "ada")
        expected = [(key, "key:ada"), (signed(claims(sub="ada")), "jwt:ada")]
        expected.append((signed(claims(sub="key:ada")), "jwt:key:ada"))
        for token, principal in expected:
            scope = scope_of("/items", authorization=f"Bearer {token}")
            await guard(scope)
            assert "read" in scope["state"].pop("scopes")
            assert scope["state"] == {"principal": principal, "owner": principal}
        scope = scope_of("/")
        await guard(scope)
        assert scope["state"] == {}

    async def test_has_idempotency_keys_of_its_own(
        self, client: httpx.AsyncClient, session: AsyncSession
    ) -> None:
        first, second = await make(session, "first"), await make(session, "second")
        new, _ = await service.rotate_key(session, "testing", "first", timedelta(days=1), None)
        body = account_body()

        async def create(token: str, **changed: str) -> httpx.Response:
            sent = {**bearer(token), "Idempotency-Key": "k"}
            return await client.post("/accounts", headers=sent, json={**body, **changed})

        made = await create(first)
        assert made.status_code == 201
        for same in (first, new.secret):  # rotation changes no principal
            again = await create(same)
            assert (again.content, again.headers["idempotency-replayed"]) == (made.content, "true")
        for other in (second, signed(claims(sub="first", scope="write"))):
            answer = await create(other, **account_body())
            assert answer.status_code == 201
            assert answer.json()["id"] != made.json()["id"]

    async def test_does_not_inherit_those_of_an_earlier_owner_of_its_name(
        self, connection: AsyncConnection, settings: Settings, session: AsyncSession
    ) -> None:
        def new_client() -> httpx.AsyncClient:
            """One that remembers no credentials."""
            app = create_app(settings)
            app.state.statements = OneConnection(connection)
            return client_of(app)

        async def create(token: str, body: dict[str, Any]) -> httpx.Response:
            sent = {**bearer(token), "Idempotency-Key": "k"}
            return await client.post("/accounts", headers=sent, json=body)

        made: list[tuple[str, dict[str, Any], httpx.Response]] = []
        async with new_client() as client:
            for _ in range(3):
                token, body = await make(session, "shop"), account_body()
                answer = await create(token, body)
                assert answer.status_code == 201
                made.append((token, body, answer))
                new, _ = await service.rotate_key(
                    session, "testing", "shop", timedelta(days=1), None
                )
                assert (await create(new.secret, body)).content == answer.content
                # So the name is free, while the rotated key still works.
                await service.revoke_keys(session, prefix_of(new.secret))
        async with new_client() as client:
            for token, body, answer in made:
                again = await create(token, body)
                assert again.content == answer.content
                assert again.headers["idempotency-replayed"] == "true"


PIECES = ["accounts", "items", "docs", "redoc", "assets", "problems", "livez", "openapi.json", ""]
PIECES += [
    "openapi.sdk.json",
    ".",
    "..",
    "%2e",
    "docs.",
    "livez\n",
    "\n",
    "accounts\n",
    "favorite",
    ID,
    "é",
    "\x00",
    "?",
]
PATHS = st.lists(st.sampled_from(PIECES), max_size=7).map("/".join)


ROUTED = create_app(make_settings(auth_mode="on"))


class TestPaths:
    """A path is public only if the router finds a public route for it, or none."""

    async def is_open(self, scope: dict[str, Any]) -> bool:
        try:
            await Credentials(ROUTED.state.key_lookup, "testing", None)(scope)
        except Unauthenticated:
            return False
        return True

    def templates(self, scope: dict[str, Any]) -> set[str]:
        """The templates of the routes that the router finds."""
        return {
            str(route.path_format)
            for route in iter_route_contexts(ROUTED.routes)
            if route.path_regex.match(get_route_path(scope))
        }

    @settings_of_hypothesis(
        max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    @given(
        path=PATHS, root=st.sampled_from(["", "/", "/docs", "/docs/assets", "/shop", "/accounts"])
    )
    async def test_no_trick_opens_a_closed_route(self, path: str, root: str) -> None:
        for whole in (f"/{path}", f"{root}/{path}", f"{root}{path}", f"//{path}"):
            scope = scope_of(whole, root)
            if await self.is_open(scope):
                assert self.templates(scope) <= OPEN, scope

    @pytest.mark.parametrize(
        "path",
        [
            *("/docs/../accounts", "/docs/assets", "/docsx", "/docs.", "/docs/", "//docs", "/DOCS"),
            *("/problems", "/problemsx/", "/livez/", "/livez\n", "/readyz;x", "/openapi.json\n"),
            *("/openapi", "/openapi.sdk", "/openapixsdk.json", "/openapi.sdk.json\n"),
            *("", "//", "/.", "/metrics"),
        ],
    )
    async def test_what_only_looks_public_is_not(self, path: str) -> None:
        assert not await self.is_open(scope_of(path))

    async def test_public_paths_are_public_behind_a_prefix(self) -> None:
        for path in (*PUBLIC, "/docs/assets/0/page.css", "/problems/not-found"):
            assert await self.is_open(scope_of(path))
            assert await self.is_open(scope_of(f"/shop{path}", "/shop"))
            assert not await self.is_open(scope_of(f"/shop{path}"))

    async def test_an_encoded_path_is_what_it_says(
        self, client: httpx.AsyncClient, statements: list[str]
    ) -> None:
        for path in ("/%61ccounts", "/docs%2f..%2faccounts", "/problems/%2e%2e/accounts%0a"):
            answer = await client.get(path)
            assert answer.status_code in (401, 404)
        assert (await client.get("/%61ccounts")).status_code == 401
        assert statements == []


class TestSecrets:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"log_level": "debug", "debug": True})

    async def test_are_in_no_log_repr_or_error(
        self,
        app: FastAPI,
        client: httpx.AsyncClient,
        session: AsyncSession,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        for module in (middleware, verifier):  # loggers keep the settings of their first line
            monkeypatch.setattr(module, "log", structlog.get_logger("satchel.canary"))
        key, unknown = await make(session, "ci"), make_key("testing")
        token, expired = signed(claims(sub="ada")), signed(claims(exp=1))
        broken = make_key("testing")
        sent: list[str] = []
        for secret in (key, unknown, f"{key}x", token, expired, "hunter2"):
            for path in ("/items", f"/items/{ID}", "/accounts"):
                answer = await client.post(path, headers=bearer(secret))
                sent.append(f"{answer.headers} {answer.text}")
        await session.execute(text("ALTER TABLE api_keys RENAME COLUMN scope TO other"))
        answer = await client.get("/items", headers=bearer(broken))
        assert answer.status_code == 500
        logged = capsys.readouterr().err
        assert "request failed" in logged
        assert "token refused" in logged
        lookup = app.state.key_lookup
        sent += [answer.text, logged, repr(lookup), str(vars(lookup)), repr(vars(lookup._good))]
        for secret in (key, unknown, broken):
            assert secret.split("_")[2] not in " ".join(sent)
        for secret in (token, expired, "hunter2", digest_of(broken.encode()).hex()):
            assert secret not in " ".join(sent)


async def test_jwt_libraries_are_imported_only_if_an_issuer_is_set() -> None:
    code = (
        "import sys; from app.config import Settings; from app.main import create_app;"
        "create_app(Settings(_env_file=None, config_mode='testing', auth_mode='on'));"
        "print([name for name in ('joserfc', 'cryptography', 'httpx') if name in sys.modules])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    async with asyncio.timeout(PATIENCE):
        output, _ = await process.communicate()
    assert output.decode().strip() == "[]"
