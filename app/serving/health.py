"""Probes: whether the process lives, and whether it can serve."""

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

# Seconds for the database to answer; one that hangs is as good as one that is away.
PATIENCE = 2.0
_REVISIONS = text("SELECT version_num FROM alembic_version")
_NO_STORE = {"Cache-Control": "no-store"}


class Health(NamedTuple):
    """What the checks of a process say, and the revisions that its database has."""

    checks: dict[str, str]
    revisions: frozenset[str]


@router.get("/livez")
async def livez() -> Response:
    """Touches nothing: a process that answers lives."""
    return _health({"status": "pass"})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Whether the database answers, has the schema that this build needs, and we are to stay."""
    if is_draining(request.scope):
        return _health({"status": "fail", "checks": {"draining": "fail"}}, status_code=503)
    checks = (await examine(request.app.state)).checks
    failed = "fail" in checks.values()
    status = "fail" if failed else "pass"
    return _health({"status": status, "checks": checks}, status_code=503 if failed else 200)


async def examine(state: State) -> Health:
    """Ask the database, and wait no longer than `PATIENCE` for it."""
    checks = {"database": "pass", "schema": "fail"}
    applied: frozenset[str] = frozenset()
    try:
        async with asyncio.timeout(PATIENCE):
            found = await state.statements.execute(_REVISIONS)
            applied = frozenset(found.scalars())
    except ProgrammingError:  # there is no such table, or it is not ours to read
        pass
    except (*FAILURES, Overloaded):
        checks["database"] = "fail"
    else:
        if applied and not applied & state.older_revisions:
            checks["schema"] = "pass"
    return Health(checks, applied)


def _health(body: object, status_code: int = 200) -> Response:
    return Response(to_json(body), status_code, _NO_STORE, "application/health+json")
