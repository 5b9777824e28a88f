"""The guard that lets a request pass with an API key or a JWT of sufficient scope.

Every path that is not public needs credentials, whether it has a route or not.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final, Protocol

from starlette._utils import get_route_path
from starlette.types import Scope

from app.auth.key_format import digest_of, is_well_formed
from app.auth.key_lookup import KeyLookup
from app.auth.principals import Principal
from app.config import Settings
from app.errors import MissingScope, Unauthenticated
from app.postgres.failures import FAILURES, problem_of

if TYPE_CHECKING:
    from app.auth.jwts import Verifier

PUBLIC: Final = frozenset(
    {"/", "/livez", "/readyz", "/docs", "/redoc", "/openapi.json", "/openapi.sdk.json"}
)
# No route that needs credentials begins with one of these.
PUBLIC_PREFIXES: Final = ("/docs/assets/", "/problems/")
# Methods that change nothing. The middleware has replaced HEAD by GET.
_SAFE: Final = frozenset({"GET", "OPTIONS"})


class Limit(Protocol):
    """Counts the requests that are refused."""

    def counting_refusal(self, scope: Scope) -> AbstractContextManager[None]:
        """Counts for the address if the block raises Unauthenticated. Errors: RateLimited."""
        ...

    async def __call__(self, scope: Scope) -> object:
        """Counts for the principal. Errors: RateLimited."""
        ...


class Credentials:
    """The guard. Without a `limit`, refusals are not counted."""

    def __init__(
        self,
        lookup: KeyLookup,
        mode: str,
        verifier: "Verifier | None",
        limit: Limit | None = None,
    ) -> None:
        self._lookup = lookup
        self._mode = mode
        self._verifier = verifier
        self._limit = limit

    async def __call__(self, scope: Scope) -> None:
        """Errors: Unauthenticated, MissingScope, RateLimited, those of the database and of the JWT
        verifier.
        """
        # The same string that the router matches: no spelling of a path can be public here and
        # reach a resource there.
        path = get_route_path(scope)
        if path in PUBLIC or path.startswith(PUBLIC_PREFIXES):
            return
        given: list[bytes] = [value for name, value in scope["headers"] if name == b"authorization"]
        token = _token_of(given)
        principal = None if token is None else self._recall(token)
        if principal is None:
            # An address that has used up its limit is refused before anything is looked up.
            with nullcontext() if self._limit is None else self._limit.counting_refusal(scope):
                if token is None:
                    raise Unauthenticated(given=len(given) > 1)
                principal = await self._identify(token)
        scope["state"]["principal"] = principal.name
        scope["state"]["owner"] = principal.owner
        scope["state"]["scopes"] = principal.scopes
        needed = "read" if scope["method"] in _SAFE else "write"
        if needed not in principal.scopes:
            if self._limit is not None:
                await self._limit(scope)
            raise MissingScope(needed)

    def _recall(self, token: bytes) -> Principal | None:
        """The principal of a token that was found good a short time ago."""
        digest = digest_of(token)
        principal = self._lookup.recall(digest)
        if principal is None and self._verifier is not None:
            principal = self._verifier.recall(digest)
        return principal

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


def _token_of(given: Sequence[bytes]) -> bytes | None:
    """The token of the Authorization headers; None: they have no token, or there are several."""
    if len(given) != 1:  # a proxy may have checked another one than we would
        return None
    scheme, _, token = given[0].partition(b" ")
    return (token.strip(b" ") or None) if scheme.lower() == b"bearer" else None
