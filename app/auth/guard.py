"""Credentials: the guard that lets a request pass with a key or a JWT of enough scope.

Closed by default: what is not on the public list needs credentials, be there a route or not.
"""

from typing import Final, Protocol

from starlette._utils import get_route_path
from starlette.types import Scope

from app.auth.key_format import digest_of, is_well_formed
from app.auth.key_lookup import KeyLookup
from app.auth.principals import Principal
from app.config import Settings
from app.errors import Forbidden, Unauthenticated
from app.postgres.failures import FAILURES, problem_of

PUBLIC: Final = frozenset({"/", "/livez", "/readyz", "/docs", "/redoc", "/openapi.json"})
# No route that needs credentials begins so.
PUBLIC_PREFIXES: Final = ("/docs/assets/", "/problems/")
# What changes nothing. The middleware has made GET of HEAD.
_SAFE: Final = frozenset({"GET", "OPTIONS"})


class TokenVerifier(Protocol):
    """What verifies JWTs."""

    async def verify(self, token: bytes) -> Principal | None: ...


class Credentials:
    """The guard."""

    def __init__(self, lookup: KeyLookup, mode: str, verifier: TokenVerifier | None) -> None:
        self._mode = mode
        self._lookup = lookup
        self._verifier = verifier

    async def __call__(self, scope: Scope) -> None:
        """Errors: Unauthenticated, Forbidden, and those of the database and the JWT's issuer."""
        # The very string that the router matches with its routes, so that no way of writing a path
        # is public for the one and a resource for the other.
        path = get_route_path(scope)
        if path in PUBLIC or path.startswith(PUBLIC_PREFIXES):
            return
        token = _token_of(scope)
        principal = self._lookup.recall(digest_of(token)) or await self._identify(token)
        scope["state"]["principal"] = principal.name
        needed = "read" if scope["method"] in _SAFE else "write"
        if needed not in principal.scopes:
            raise Forbidden(needed)

    async def _identify(self, token: bytes) -> Principal:
        principal = None
        if token.startswith(b"satchel_"):
            if is_well_formed(token, self._mode):
                principal = await self._find(token)
        elif self._verifier is not None:
            principal = await self._verifier.verify(token)
        if principal is None:
            raise Unauthenticated(given=True)
        return principal

    async def _find(self, key: bytes) -> Principal | None:
        try:
            return await self._lookup.find(digest_of(key))
        except FAILURES as error:
            problem = problem_of(error)
            if problem is None:
                raise
            raise problem from None


def make_verifier(settings: Settings) -> TokenVerifier | None:
    """The verifier of JWTs; None: no issuer is set. Errors: ConfigurationError."""
    if settings.jwt_issuer is None:
        return None
    from app.auth import jwts  # imports cryptography, which takes a while

    return jwts.make_verifier(settings)


def _token_of(scope: Scope) -> bytes:
    """What the Authorization header carries. Errors: Unauthenticated."""
    given: list[bytes] = [value for name, value in scope["headers"] if name == b"authorization"]
    if not given:
        raise Unauthenticated
    if len(given) > 1:  # which of them counts, a proxy may see otherwise
        raise Unauthenticated(given=True)
    scheme, _, token = given[0].partition(b" ")
    token = token.strip(b" ")
    if scheme.lower() != b"bearer" or not token:
        raise Unauthenticated
    return token
