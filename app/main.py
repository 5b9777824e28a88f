"""The application: settings in, routers and error handlers on, database while it runs."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from fastapi.routing import iter_route_contexts
from pydantic_core import to_json

from app import __version__
from app.accounts import emails
from app.accounts import service as account_service
from app.accounts.router import router as accounts
from app.config import Settings, load_settings
from app.database.engine import log_statements, make_engine
from app.database.migrations import older_revisions
from app.database.reader import Reader
from app.database.statements import Statements
from app.http.docs import add_docs
from app.http.edge import add_edge
from app.http.openapi import DocumentedAPI
from app.http.problems import add_problems
from app.items import service as item_service
from app.items.router import owned_router as owned_items
from app.items.router import router as items
from app.links.router import favorites, reservations, wishes
from app.ops.health import router as health
from app.ops.logs import configure_logs
from app.ops.server import database_url, migrate_database
from app.ops.sweeper import sweeping

root = APIRouter(include_in_schema=False)


@root.get("/")
async def hello(request: Request) -> Response:
    """Says what this is and where its documentation lies."""
    body = {
        "message": "Hello World!",
        "name": request.app.title,
        "version": request.app.version,
        "docs": "/docs",
        "openapi": "/openapi.json",
    }
    return Response(
        to_json(body), headers={"Cache-Control": "private, no-cache"}, media_type="application/json"
    )


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    with database_url(settings) as url:
        if settings.migrate_on_start:
            await migrate_database(url, settings)
        engine = make_engine(url, settings, autocommit=True)
        if settings.debug:
            log_statements(engine)
        statements = app.state.statements = Statements(engine)
        app.state.account_reader = Reader(statements, account_service.BY_ID)
        app.state.item_reader = Reader(statements, item_service.BY_ID)
        app.state.older_revisions = older_revisions()
        # FastAPI would make these at the first request, which would wait for them.
        for _ in iter_route_contexts(app.routes):
            pass
        # What start-up made stays: without it the garbage collector walks through all of FastAPI,
        # Pydantic and SQLAlchemy again and again, which is most of the slowest answers' time.
        gc.collect()
        gc.freeze()
        try:
            async with sweeping(statements):
                yield
        finally:
            await engine.dispose()


def create_app(settings: Settings | None = None) -> FastAPI:
    """A new application; without settings, with those of the environment."""
    settings = settings or load_settings()
    configure_logs(settings)
    app = DocumentedAPI(
        title="Satchel",
        version=__version__,
        lifespan=lifespan,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.settings = settings
    app.state.email_resolver = (
        emails.make_resolver(settings.email_dns_timeout) if settings.email_deliverability else None
    )
    add_problems(app)
    for router in (root, accounts, items, owned_items, favorites, reservations, wishes, health):
        app.include_router(router)
    if settings.docs_enabled:
        add_docs(app)
    add_edge(app, settings)
    return app
