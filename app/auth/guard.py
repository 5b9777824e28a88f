"""The guard that lets a request pass with an API key or a JWT of sufficient scope.

Every path that is not public needs credentials, whether it has a route or not.
"""

from typing import TYPE_CHECKING, Final

from starlette._utils import get_route_path
from starlette.types import Scope

from app.auth.key_format import digest_of, is_well_formed
from app.auth.key_lookup import KeyLookup
from app.auth.principals import Principal
from app.config import Settings
from app.errors import Forbidden, Unauthenticated
from app.postgres.failures import FAILURES, problem_of

if TYPE_CHECKING:
    from app.auth.jwts import Verifier

PUBLIC: Final = frozenset({"/", "/livez", "/readyz", "/docs", "/redoc", "/openapi.json"})
# No route that needs credentials begins with one of these.
PUBLIC_PREFIXES: Final = ("/docs/assets/", "/problems/")
# Methods that change nothing. The middleware has replaced HEAD by GET.
_SAFE: Final = frozenset({"GET", "OPTIONS"})


class Credentials:
    """The guard."""

    def __init__(self, lookup: KeyLookup, mode: str, verifier: "Verifier | None") -> None:
        self._lookup = lookup
        self._mode = mode
        self._verifier = verifier

    async def __call__(self, scope: Scope) -> None:
        """Errors: Unauthenticated, Forbidden, those of the database and of the JWT verifier."""
        # The same string that the router matches: no spelling of a path can be public here and
        # reach a resource there.
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


def make_verifier(settings: Settings) -> "Verifier | None":
    """The verifier of JWTs; None: no issuer is set. Errors: ConfigurationError."""
    if settings.jwt_issuer is None:
        return None
    from app.auth import jwts  # imports cryptography, which is slow

    return jwts.make_verifier(settings)


def _token_of(scope: Scope) -> bytes:
    """The token of the Authorization header. Errors: Unauthenticated."""
    given: list[bytes] = [value for name, value in scope["headers"] if name == b"authorization"]
    if not given:
        raise Unauthenticated
    if len(given) > 1:  # a proxy may have checked another one than we would
        raise Unauthenticated(given=True)
    scheme, _, token = given[0].partition(b" ")
    token = token.strip(b" ")
    if scheme.lower() != b"bearer" or not token:
        raise Unauthenticated
    return token
