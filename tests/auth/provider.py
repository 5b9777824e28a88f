"""An identity provider: keys, tokens signed with them, and a server with the JWK Set."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

ISSUER = "https://id.example.com"
AUDIENCE = "satchel"
RSA = RSAKey.generate_key(parameters={"kid": "rsa"})
EC = ECKey.generate_key(parameters={"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", parameters={"kid": "ed"})
OTHER = RSAKey.generate_key(parameters={"kid": "other"})


def jwks(*keys: Key) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


def claims(now: float | None = None, **changed: Any) -> dict[str, Any]:
    """The claims of a good token with the scope read, with changes; None leaves a claim out."""
    now = time.time() if now is None else now
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "exp": int(now) + 300,
        "iat": int(now),
        "scope": "openid read",
    }
    return {name: value for name, value in (good | changed).items() if value is not None}


class AnyHeader(JWSRegistry):
    """Signs with any header."""

    def check_header(self, header: dict[str, Any]) -> None:
        pass


def signed(content: dict[str, Any], key: Any = RSA, algorithm: str = "RS256", **header: Any) -> str:
    """A token. A parameter of the header that is None is left out."""
    named = {"alg": algorithm, "kid": key.kid, "typ": "JWT", **header}
    kept = {name: value for name, value in named.items() if value is not None}
    registry = AnyHeader(algorithms=[algorithm])
    if algorithm == "EdDSA":  # the library's own warns that this name is deprecated
        registry.algorithms = {"EdDSA": registry.algorithms[key.curve_name]}
    return jwt.encode(kept, content, key, registry=registry, default_type=None)


def part(content: object) -> str:
    """A part of an unsigned token."""
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def hmac_signed(content: dict[str, Any]) -> str:
    """Signed with the public key as if it were a shared secret."""
    text = f"{part({'alg': 'HS256', 'kid': RSA.kid})}.{part(content)}"
    digest = hmac.digest(RSA.as_pem(private=False), text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


class Provider:
    """A server with a JWK Set. Its responses can be changed."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = jwks(RSA, EC)
        self.let_go = asyncio.Event()  # until then it does not respond
        self.let_go.set()
        self.answered = 0
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:  # the client closed the connection
            writer.close()
            return
        self.asked.append(request.decode().splitlines()[0])
        await self.let_go.wait()
        fields = {"Content-Length": str(len(self.body)), "Connection": "close", **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"HTTP/1.1 {self.status} x\r\n{head}\r\n".encode() + self.body)
        writer.close()
        self.answered += 1


@asynccontextmanager
async def serving() -> AsyncIterator[Provider]:
    provider = Provider()
    server = await asyncio.start_server(provider.answer, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"
    async with server:
        yield provider
