"""The keys of an identity provider: fetched when needed, kept, and fetched anew in time."""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Final

import httpx2
import structlog
from joserfc.jwk import Key

from app.auth.public_keys import import_jwks, usable_keys
from app.errors import IdentityProviderUnavailable

log = structlog.get_logger("satchel.tokens")

PATIENCE: Final = 5.0  # seconds for an answer as a whole
MAX_SIZE: Final = 256 * 1024  # bytes of an answer
LIFETIME: Final = 600.0  # seconds after which keys are fetched anew, beside the requests
UNKNOWN_PAUSE: Final = 60.0  # seconds between two fetches, whatever unknown keys tokens name
FAILED_PAUSE: Final = 5.0  # seconds, as long as there are no keys at all


class FetchError(Exception):
    """The identity provider did not answer with keys; the message says how."""


class FixedKeys:
    """Keys that do not change while the process runs."""

    def __init__(self, keys: Collection[Key]) -> None:
        self._keys = list(keys)

    async def find(self, kid: str | None) -> list[Key]:
        """The keys that may have signed a token. A key without a name of its own may be any."""
        return matching(self._keys, kid)


class FetchedKeys:
    """Keys that an identity provider publishes. Many requests share one fetch."""

    def __init__(
        self, url: str, algorithms: Collection[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._algorithms = algorithms
        self._clock = clock
        self._tls = httpx2.create_ssl_context()
        self._keys: list[Key] = []
        self._fetched = self._not_before = -1e9  # on this clock: long ago
        self._failed = False
        self._task: asyncio.Task[None] | None = None

    async def find(self, kid: str | None) -> list[Key]:
        """As FixedKeys. Errors: IdentityProviderUnavailable, where the key may be a new one."""
        found = matching(self._keys, kid)
        if found:
            if self._clock() >= self._fetched + LIFETIME:
                self._start()
            return found
        task = self._start()
        if task is not None:
            await asyncio.shield(task)  # others may wait for it when this request goes away
        found = matching(self._keys, kid)
        if not found and self._failed:
            wait = self._not_before - self._clock()
            raise IdentityProviderUnavailable(max(1, round(wait)))
        return found

    def _start(self) -> asyncio.Task[None] | None:
        """The fetch under way; None: the last one was too short a time ago."""
        if self._task is None and self._clock() >= self._not_before:
            self._task = asyncio.create_task(self._fetch())
        return self._task

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                content = await self._download()
            keys = usable_keys(import_jwks(content), self._algorithms)
            if not keys:
                raise FetchError("no key for JWT_ALGORITHMS")
        except (httpx2.HTTPError, httpx2.InvalidURL, FetchError, TimeoutError, OSError) as error:
            self._failed = True
            log.warning("keys of the identity provider not fetched", error=_told(error))
        else:
            self._keys, self._failed = keys, False
            self._fetched = self._clock()
        finally:
            pause = UNKNOWN_PAUSE if self._keys else FAILED_PAUSE
            self._not_before = self._clock() + pause
            self._task = None

    async def _download(self) -> bytes:
        content = bytearray()
        client = httpx2.AsyncClient(verify=self._tls, timeout=PATIENCE, follow_redirects=False)
        plain = {"Accept": "application/json", "Accept-Encoding": "identity"}
        async with client, client.stream("GET", self._url, headers=plain) as answer:
            if answer.status_code != 200:  # a redirect too: it might lead anywhere
                raise FetchError(f"status {answer.status_code}")
            async for chunk in answer.aiter_raw():
                content += chunk
                if len(content) > MAX_SIZE:
                    raise FetchError("too large")
        return bytes(content)


def matching(keys: Collection[Key], kid: str | None) -> list[Key]:
    if kid is None:
        return list(keys)
    return [key for key in keys if key.get("kid") in (None, kid)]


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, FetchError) else type(error).__name__
