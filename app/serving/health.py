"""Probes: /livez says whether the process runs, /readyz whether it can serve."""

import asyncio
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from starlette.datastructures import State

from app.errors import Overloaded
from app.postgres.failures import FAILURES
from app.serving.draining import is_draining

router = APIRouter(include_in_schema=False)

# A database that takes longer fails the check.
CHECK_TIMEOUT_SECONDS = 2.0
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
        checks = (await examine(request.app.state)).checks
    status = "fail" if "fail" in checks.values() else "pass"
    return _response({"status": status, "checks": checks}, 200 if status == "pass" else 503)


async def examine(state: State) -> Health:
    """Check the database, within `CHECK_TIMEOUT_SECONDS`."""
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
