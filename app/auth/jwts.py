"""Verifies JWTs: signature, issuer, audience and times. The subject is the principal."""

import re
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, Final, Protocol

import structlog
from joserfc import jws, jwt
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry

from app.auth.jwks import FetchedKeys, FixedKeys
from app.auth.key_format import digest_of
from app.auth.principals import CACHE_SECONDS, SCOPES, ExpiringCache, Principal
from app.auth.public_keys import read_key_file
from app.config import ConfigurationError, Settings

log = structlog.get_logger("satchel.tokens")

CLOCK_SKEW_SECONDS: Final = 30
MAX_LENGTH: Final = 16_384
CACHE_SIZE: Final = 10_000
# OpenID Connect allows 255 ASCII characters. Subjects are logged, so they must be printable.
_SUBJECT: Final = re.compile(r"[\x20-\x7e]{1,255}")
# The media types of access tokens (RFC 7519 and 9068), with or without `application/`. A token of
# another type, such as a logout token, may have the same claims and the same signature.
_TYPES: Final = {"jwt", "at+jwt"}


class Keys(Protocol):
    """The public keys of the issuer."""

    async def find(self, kid: str | None) -> list[Key]: ...


class Verifier:
    """Accepts tokens of one issuer for one audience, signed with one of some algorithms."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        algorithms: Sequence[str],
        keys: Keys,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.keys = keys
        older = ["EdDSA"] if "Ed25519" in algorithms else []
        self._algorithms = [*algorithms, *older]
        self._registry = _make_registry(self._algorithms)
        self._clock = clock
        self._good: ExpiringCache[Principal] = ExpiringCache(CACHE_SIZE, clock)
        self._claims = jwt.JWTClaimsRegistry(
            now=lambda: int(clock()),
            leeway=CLOCK_SKEW_SECONDS,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )

    def recall(self, digest: bytes) -> Principal | None:
        """The principal of a token that was verified a short time ago."""
        return self._good.get(digest)

    async def verify(self, token: bytes) -> Principal | None:
        """The principal of a token; None: the token is refused. Errors: those of the keys."""
        try:
            claims = await self._claims_of(token)
            principal = _principal_of(claims)
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            # Not the message: it may contain what the client sent.
            log.info(
                "token refused", reason=type(error).__name__, claim=getattr(error, "claim", None)
            )
            return None
        now = self._clock()
        self._good.put(
            digest_of(token),
            principal,
            min(now + CACHE_SECONDS, claims["exp"] + CLOCK_SKEW_SECONDS),
        )
        return principal

    async def _claims_of(self, token: bytes) -> dict[str, Any]:
        if len(token) > MAX_LENGTH:
            raise ValueError("too long")
        header = jws.extract_compact(token).headers()
        if header.get("alg") not in self._algorithms:
            raise ValueError("another algorithm")
        # It names extensions that must be known, and is never empty (RFC 7515, 4.1.11). None is
        # known here.
        if "crit" in header:
            raise ValueError("critical parameters")
        if not _is_access_token(header.get("typ", "JWT")):
            raise ValueError("no access token")
        kid = header.get("kid")
        if not (kid is None or isinstance(kid, str)):
            raise ValueError("kid is no string")
        claims = self._signed(token, await self.keys.find(kid))
        self._claims.validate(claims)
        return claims

    def _signed(self, token: bytes, keys: Sequence[Key]) -> dict[str, Any]:
        for key in keys:
            try:
                return jwt.decode(token, key, registry=self._registry).claims
            except (JoseError, ValueError):  # not this key, which may be of another type
                continue
        raise BadSignatureError


def make_verifier(settings: Settings) -> Verifier:
    """The verifier; the settings name an issuer. Errors: ConfigurationError."""
    assert settings.jwt_issuer is not None
    assert settings.jwt_audience is not None
    algorithms = settings.jwt_algorithms.split(",")
    keys: Keys
    if settings.jwt_key_file is not None:
        try:
            keys = FixedKeys(read_key_file(settings.jwt_key_file, algorithms))
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
    else:
        assert settings.jwt_jwks_url is not None
        keys = FetchedKeys(settings.jwt_jwks_url, algorithms)
    return Verifier(settings.jwt_issuer, settings.jwt_audience, algorithms, keys)


def _make_registry(algorithms: Sequence[str]) -> JWSRegistry:
    """Header parameters that it does not know are ignored (RFC 7515, 4). EdDSA is Ed25519, with a
    key of that curve: most issuers use the older name (RFC 9864).
    """
    registry = JWSRegistry(algorithms=algorithms, strict_check_header=False)
    registry.algorithms = {**registry.algorithms, "EdDSA": registry.algorithms["Ed25519"]}
    return registry


def _is_access_token(typ: Any) -> bool:
    return isinstance(typ, str) and typ.casefold().removeprefix("application/") in _TYPES


def _principal_of(claims: dict[str, Any]) -> Principal:
    """The claim `scope` is a string of words (RFC 9068); unknown words are for other services."""
    subject, scope = claims["sub"], claims.get("scope", "")
    if not _SUBJECT.fullmatch(subject) or not isinstance(scope, str):
        raise ValueError("not a subject or a scope")
    known = (SCOPES[word] for word in scope.split(" ") if word in SCOPES)
    # The name is logged, and logs must not contain email addresses.
    name = (
        f"jwt#{sha256(subject.encode()).hexdigest()[:32]}" if "@" in subject else f"jwt:{subject}"
    )
    return Principal(name, frozenset().union(*known))
