"""Probes: /livez says whether the process runs, /readyz whether it can serve."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from starlette.datastructures import State

from app.errors import Overloaded
from app.postgres.failures import FAILURES
from app.postgres.statement_count import count_statement, stop_statement_count
from app.serving.draining import is_draining

router = APIRouter(include_in_schema=False)

# A database that takes longer fails the check.
CHECK_TIMEOUT_SECONDS = 2.0
# Requests share an examination that began less than this time ago, or that is still running.
# Anybody may send any number of them, and they must not take the connections of other requests.
SHARED_SECONDS = 0.5
_REVISIONS = text("SELECT version_num FROM alembic_version")
_NO_STORE = {"Cache-Control": "no-store"}


class Health(NamedTuple):
    """The verdict of each check, and the revisions of the database."""

    checks: dict[str, str]
    revisions: frozenset[str]


@router.get("/livez")
async def livez() -> Response:
    """Checks nothing else: a process that responds is alive."""
    return _response({"status": "pass"}, 200)


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Whether the database responds and has the schema of this build, and no shutdown has begun."""
    if is_draining(request.scope):
        checks = {"draining": "fail"}
    else:
        checks = (await request.app.state.examiner.examine()).checks
    status = "fail" if "fail" in checks.values() else "pass"
    return _response({"status": status, "checks": checks}, 200 if status == "pass" else 503)


class Examiner:
    """Examines the database of an application, once for all requests of `SHARED_SECONDS`."""

    def __init__(self, state: State, clock: Callable[[], float] = time.monotonic) -> None:
        self._state = state
        self._clock = clock
        self._began = -math.inf
        self._running: asyncio.Task[Health] | None = None

    async def examine(self) -> Health:
        running = self._running
        if running is None or (running.done() and self._clock() - self._began >= SHARED_SECONDS):
            self._began = self._clock()
            running = self._running = asyncio.create_task(_examine(self._state))
        if not running.done():
            count_statement()
        return await asyncio.shield(running)  # a request that is cancelled leaves the others alone


async def _examine(state: State) -> Health:
    """Check the database, within `CHECK_TIMEOUT_SECONDS`."""
    stop_statement_count()
    checks = {"database": "pass", "schema": "fail"}
    applied: frozenset[str] = frozenset()
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            result = await state.statements.execute(_REVISIONS)
            applied = frozenset(result.scalars())
    except ProgrammingError:  # the table is missing, or this role may not read it
        pass
    except (*FAILURES, Overloaded):
        checks["database"] = "fail"
    else:
        if applied and not applied & state.older_revisions:
            checks["schema"] = "pass"
    return Health(checks, applied)


def _response(body: object, status_code: int) -> Response:
    return Response(to_json(body), status_code, _NO_STORE, "application/health+json")
