"""Builds the application from the settings, and runs its database and periodic tasks."""

import gc
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.routing import BaseRoute, Route

from app import __version__
from app.accounts import emails
from app.accounts.router import router as accounts
from app.api.docs.pages import add_docs
from app.api.error_handlers import add_error_handlers
from app.api.imports.uploads import UploadSlots
from app.api.openapi.document import DocumentedAPI
from app.api.route_table import RouteTable
from app.auth.guard import Credentials, make_verifier
from app.auth.key_lookup import KeyLookup
from app.auth.last_used import writing_uses
from app.config import Settings, load_settings
from app.edge.middleware import Guard
from app.edge.rate_limits import make_rate_limit
from app.edge.stack import add_edge
from app.edge.trace_ids import own_trace_id, sent_trace_id
from app.items.router import owned_router as owned_items
from app.items.router import router as items
from app.links.router import favorites, reservations, wishes
from app.postgres.background import running
from app.postgres.copies import Copies
from app.postgres.engine import log_statements, make_engine, make_export_engine, make_probe
from app.postgres.migrations import older_revisions
from app.postgres.replicas import reading_replicas
from app.postgres.statements import Statements
from app.postgres.watchdog import watchdog
from app.problems import as_uri
from app.serving.health import Examiner
from app.serving.health import router as health
from app.serving.metrics import router as metrics
from app.serving.metrics import share_samples
from app.serving.server import database_url, migrate_database
from app.serving.sweeper import sweep_periodically
from app.telemetry.logs import configure_logs
from app.telemetry.outlet import OUTLET
from app.telemetry.request_counters import RequestCounters
from app.telemetry.tracing import make_tracing, telemetry_of

if TYPE_CHECKING:
    from app.telemetry.spans import Tracing

root = APIRouter(include_in_schema=False)


@root.get("/")
async def hello(request: Request) -> Response:
    """The name, the version, and where the documentation is."""
    prefix = as_uri(request.scope["root_path"])
    body = {
        "message": "Hello World!",
        "name": request.app.title,
        "version": request.app.version,
        "docs": f"{prefix}/docs",
        "openapi": f"{prefix}/openapi.json",
    }
    return Response(
        to_json(body), headers={"Cache-Control": "private, no-cache"}, media_type="application/json"
    )


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, RequestCounters]]:
    settings: Settings = app.state.settings
    with database_url(settings) as url:
        if settings.migrate_on_start:
            await migrate_database(url, settings)
        engine = make_engine(url, settings, autocommit=True)
        exporting = make_export_engine(url, settings)
        tracing: Tracing | None = app.state.tracing
        if tracing is not None:
            tracing.start()

        def observe(engine: AsyncEngine) -> None:
            if settings.debug:
                log_statements(engine)
            if tracing is not None:
                tracing.observe(engine)

        observe(engine)
        counters: RequestCounters = app.state.counters
        statements = app.state.statements = Statements(
            engine,
            counters.batch_size.observe,
            counters.insert_batch_size.observe,
            counters.update_batch_size.observe,
            requests_in_flight=lambda: counters.in_flight,
        )
        copies = app.state.copies = Copies(exporting, settings.max_exports, settings.export_timeout)
        app.state.older_revisions = older_revisions()
        # Objects of start-up live as long as the process. If they were not frozen, the garbage
        # collector would walk through all of FastAPI, Pydantic and SQLAlchemy again and again,
        # which is most of the time of the slowest responses.
        gc.collect()
        gc.freeze()
        try:
            async with (
                watchdog([engine, exporting], make_probe(url, settings)),
                reading_replicas(
                    url,
                    settings,
                    observe=observe,
                    on_read=counters.count_replica_read,
                    on_lag=counters.replica_lag.set,
                ) as app.state.replicas,
                running(sweep_periodically(statements)),
                running(share_samples(counters, statements)),
                writing_uses(app.state.key_lookup, statements),
            ):
                yield {"counters": counters}  # the server counts what it refuses itself
        finally:
            await statements.close()
            await copies.close()
            if tracing is not None:
                await tracing.stop()
            OUTLET.flush()  # the process may end in this turn of the loop, by a signal


def match_whole_paths(routes: Sequence[BaseRoute]) -> None:
    """Let no route match a path with a line break after it, as the `$` of its pattern does."""
    for route in routes:
        assert isinstance(route, Route)
        pattern = route.path_regex.pattern.removesuffix("$")
        route.path_regex = re.compile(pattern.removesuffix(r"\Z") + r"\Z")


def create_app(settings: Settings | None = None, *, on_loopback: bool = False) -> DocumentedAPI:
    """A new application. Without `settings`, those of the environment apply.

    `on_loopback`: only this machine can reach its server, so requests have a Host of this machine.
    """
    settings = settings or load_settings()
    configure_logs(settings)
    tracing = make_tracing(settings)
    app = DocumentedAPI(
        title="Satchel",
        version=__version__,
        lifespan=lifespan,
        redirect_slashes=False,
        telemetry=telemetry_of(tracing),
    )
    app.state.settings = settings
    app.state.counters = RequestCounters()
    app.state.tracing = tracing
    app.state.upload_slots = UploadSlots(settings.max_imports)
    app.state.replicas = None
    app.state.examiner = Examiner(app.state)
    app.state.email_resolver = (
        emails.make_resolver(settings.email_dns_timeout) if settings.email_deliverability else None
    )
    add_error_handlers(app)
    for router in (
        root,
        accounts,
        items,
        owned_items,
        favorites,
        reservations,
        wishes,
        health,
        metrics,
    ):
        # The routes of an included router are looked up twice for each request.
        app.router.routes.extend(router.routes)
    if settings.docs_enabled:
        add_docs(app)
    match_whole_paths(app.routes)
    if tracing is None:  # else FastAPI's own search tells the tracing which route it took
        app.add_middleware(RouteTable, api=app)
    lookup = app.state.key_lookup = KeyLookup(lambda: app.state.statements)
    limit = make_rate_limit(settings)
    guards: list[Guard] = []
    if settings.auth_mode == "on":
        guards.append(Credentials(lookup, settings.mode, make_verifier(settings), limit))
    add_edge(
        app,
        settings,
        credentials=guards,
        limit=limit,
        on_loopback=on_loopback,
        counters=app.state.counters,
        find_trace_id=own_trace_id if tracing else sent_trace_id,
    )
    return app
