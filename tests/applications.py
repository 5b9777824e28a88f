"""Applications of tests: their settings and clients."""

import contextlib
import functools
from collections.abc import AsyncIterator
from typing import Any

import httpx
from fastapi import FastAPI
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from sqlalchemy import URL

from app.config import Mode, Settings
from app.main import create_app
from app.postgres.engine import server_limits
from tests.databases import execute, pooled, serving_settings
from tests.environment import ISOLATION
from tests.transactions import WatchingTransport


class _GivenSettings(Settings):
    """Settings from the given values alone; looking for others takes most of their time."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **_others: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def make_settings(**values: Any) -> Settings:
    """Settings from these values alone."""
    return _GivenSettings(**{"config_mode": Mode.testing, **values})


@functools.cache
def document() -> dict[str, Any]:
    """The OpenAPI document. Not to be changed, since all tests of a process share it."""
    return create_app(make_settings()).openapi()


@functools.cache
def sdk_document() -> dict[str, Any]:
    """The one for generators of SDKs, likewise."""
    return create_app(make_settings()).sdk_document


class PatientTransport(WatchingTransport):
    """Sends again what is overloaded, where databases are so strict that others may be why."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        while True:
            answer = await super().handle_async_request(request)
            if ISOLATION == "read committed" or answer.status_code != 503:
                return answer
            await answer.aread()
            assert answer.json()["code"] == "overloaded"
            assert answer.headers["retry-after"]


def client_of(application: FastAPI, *, is_patient: bool = False) -> httpx.AsyncClient:
    """A client that talks to the application in this process.

    It fails if a request awaits anything but the database in a transaction.
    """
    kind = PatientTransport if is_patient else WatchingTransport
    transport = kind(application, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://satchel.test")


@contextlib.asynccontextmanager
async def running_app(database: URL, **values: Any) -> AsyncIterator[FastAPI]:
    """The application with its own engine on a real database, as a worker runs it."""
    settings = make_settings(**{**serving_settings(database), **values})
    if pooled(database) is not None:  # which has no limits but those of the database
        limits = server_limits(settings).items()
        alter = f'ALTER DATABASE "{database.database}" SET'
        await execute(database, *(f"{alter} {name} = {limit}" for name, limit in limits))
    application = create_app(settings)
    async with application.router.lifespan_context(application):
        yield application
