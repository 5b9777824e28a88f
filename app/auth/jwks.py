"""The public keys of an identity provider: fetched when needed, cached, and refreshed."""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Final

import httpx
import structlog
from joserfc.jwk import Key

from app.auth.public_keys import import_jwks, usable_keys
from app.errors import IdentityProviderUnavailable

log = structlog.get_logger("satchel.tokens")

FETCH_TIMEOUT_SECONDS: Final = 5.0
MAX_RESPONSE_BYTES: Final = 256 * 1024
# Older keys are fetched again in the background.
REFRESH_SECONDS: Final = 600.0
# Between two fetches, whatever unknown keys tokens name; and while there are no keys at all.
UNKNOWN_PAUSE_SECONDS: Final = 60.0
FAILED_PAUSE_SECONDS: Final = 5.0


class FetchError(Exception):
    """The identity provider did not answer with keys."""


class FixedKeys:
    """Keys from a file."""

    def __init__(self, keys: Collection[Key]) -> None:
        self._keys = list(keys)

    async def find(self, kid: str | None) -> list[Key]:
        """The keys that may have signed a token: those with its key id, and those without any."""
        return _matching(self._keys, kid)


class FetchedKeys:
    """Keys from a URL. Requests share one fetch."""

    def __init__(
        self, url: str, algorithms: Collection[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._algorithms = algorithms
        self._clock = clock
        self._tls = httpx.create_ssl_context()
        self._keys: list[Key] = []
        self._fetched = self._not_before = -1e9  # long ago, on any clock
        self._failed = False
        self._task: asyncio.Task[None] | None = None

    async def find(self, kid: str | None) -> list[Key]:
        """As FixedKeys. Errors: IdentityProviderUnavailable: the key may be a new one."""
        found = _matching(self._keys, kid)
        if found:
            if self._clock() >= self._fetched + REFRESH_SECONDS:
                self._start()
            return found
        task = self._start()
        if task is not None:
            await asyncio.shield(task)  # other requests may wait for it too
        found = _matching(self._keys, kid)
        if not found and self._failed:
            wait = self._not_before - self._clock()
            raise IdentityProviderUnavailable(max(1, round(wait)))
        return found

    def _start(self) -> asyncio.Task[None] | None:
        """The running fetch; None: it is too early for another one."""
        if self._task is None and self._clock() >= self._not_before:
            self._task = asyncio.create_task(self._fetch())
        return self._task

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_SECONDS):
                content = await self._download()
            keys = usable_keys(import_jwks(content), self._algorithms)
            if not keys:
                raise FetchError("no key for JWT_ALGORITHMS")
        except (httpx.HTTPError, httpx.InvalidURL, FetchError, TimeoutError, OSError) as error:
            self._failed = True
            reason = str(error) if isinstance(error, FetchError) else type(error).__name__
            log.warning("keys of the identity provider not fetched", error=reason)
        else:
            self._keys, self._failed = keys, False
            self._fetched = self._clock()
        finally:
            pause = UNKNOWN_PAUSE_SECONDS if self._keys else FAILED_PAUSE_SECONDS
            self._not_before = self._clock() + pause
            self._task = None

    async def _download(self) -> bytes:
        content = bytearray()
        client = httpx.AsyncClient(
            verify=self._tls, timeout=FETCH_TIMEOUT_SECONDS, follow_redirects=False
        )
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        async with client, client.stream("GET", self._url, headers=headers) as response:
            if response.status_code != 200:  # redirects too: the target is not configured
                raise FetchError(f"status {response.status_code}")
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > MAX_RESPONSE_BYTES:
                    raise FetchError("too large")
        return bytes(content)


def _matching(keys: Collection[Key], kid: str | None) -> list[Key]:
    if kid is None:
        return list(keys)
    return [key for key in keys if key.get("kid") in (None, kid)]
