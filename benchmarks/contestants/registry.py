"""Who takes part: how each is started, what it needs, and how its requests look."""

import importlib.util
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.postgres import Postgres

# Connections to PostgreSQL of each worker, the same for all. Satchel's own default.
POOL_SIZE = 10
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Start:
    """What a contestant is started with."""

    postgres: Postgres
    port: int
    workers: int


@dataclass(frozen=True)
class Paths:
    """Where the accounts are, and how their list is asked for."""

    accounts: str = "/accounts"
    page: str = "limit={limit}&before={before}"
    country: str = "limit={limit}&country={country}"


@dataclass(frozen=True)
class Contestant:
    """`driver`: of the URL that SQLAlchemy wants. `form`: bodies are forms, not JSON.

    `constant`: answers `/` alone, and always the same. `promises`: keeps what Satchel promises to
    clients and operators, on Satchel's tables. `packages`: the folder of what npm installs.
    `token`: of every request, where the harness makes no key. `heavy`: takes minutes to install.
    """

    name: str
    title: str
    command: Callable[[Start], list[str]]
    driver: str = ""
    modules: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    id_type: str = "uuid"
    form: bool = False
    constant: bool = False
    promises: bool = False
    packages: Path | None = None
    paths: Paths = Paths()
    token: str = ""
    heavy: bool = False
    note: str = ""

    @property
    def missing(self) -> list[str]:
        """What it needs and this machine has not."""
        modules = [name for name in self.modules if importlib.util.find_spec(name) is None]
        return modules + [name for name in self.programs if shutil.which(name) is None]

    def environment(self, start: Start) -> dict[str, str]:
        postgres = start.postgres
        return {
            **postgres.environment_of(self.name),
            "DATABASE_URL": postgres.url_of(self.name, self.driver or "postgresql"),
            "POOL_SIZE": str(POOL_SIZE),
            "PORT": str(start.port),
            "WORKERS": str(start.workers),
            # Cursors of the targets meet a server that was started anew.
            "CURSOR_SECRET": "only for measuring",
        }


class Satchel(Contestant):
    def environment(self, start: Start) -> dict[str, str]:
        return {
            "CONFIG_MODE": "production",
            "PRODUCTION_DATABASE_URL": start.postgres.url_of(self.name, "postgresql"),
            "EMAIL_DELIVERABILITY": "false",
            "SHUTDOWN_DELAY": "0",
            "POOL_SIZE": str(POOL_SIZE),
        }


class Directus(Contestant):
    def environment(self, start: Start) -> dict[str, str]:
        common = super().environment(start)
        return {
            **common,
            "HOST": "127.0.0.1",
            "SECRET": "only for measuring, and of 32 bytes or more",
            "ADMIN_EMAIL": "admin@example.com",
            "ADMIN_PASSWORD": "only for measuring",
            "ADMIN_TOKEN": self.token,
            "DB_CLIENT": "pg",
            "DB_HOST": common["PGHOST"],
            "DB_PORT": common["PGPORT"],
            "DB_USER": common["PGUSER"],
            "DB_PASSWORD": "none",
            "DB_DATABASE": common["PGDATABASE"],
            "DB_POOL__MAX": str(POOL_SIZE),
            "SERVE_APP": "false",
            "TELEMETRY": "false",
            "LOG_LEVEL": "warn",
            "PRESSURE_LIMITER_ENABLED": "false",
        }


def _uvicorn(module: str) -> Callable[[Start], list[str]]:
    def command(start: Start) -> list[str]:
        application = f"benchmarks.contestants.{module}:app"
        options = ["--port", str(start.port), "--workers", str(start.workers)]
        return [sys.executable, "-m", "uvicorn", application, *options, "--no-access-log"]

    return command


def _gunicorn(module: str) -> Callable[[Start], list[str]]:
    def command(start: Start) -> list[str]:
        application = f"benchmarks.contestants.{module}:app"
        options = ["--bind", f"127.0.0.1:{start.port}", "--workers", str(start.workers)]
        return [sys.executable, "-m", "gunicorn", *options, "--threads", "32", application]

    return command


def _satchel(start: Start) -> list[str]:
    options = ["--port", str(start.port), "--workers", str(start.workers)]
    return [sys.executable, "-m", "app.cli.commands", "serve", *options]


def _start_node(name: str) -> Callable[[Start], list[str]]:
    return lambda _start: ["node", str(_HERE / name / "server.js")]


def _node(name: str, title: str, *, promises: bool = False, note: str) -> Contestant:
    return Contestant(
        name,
        title,
        _start_node(name),
        programs=("node", "npm"),
        promises=promises,
        packages=_HERE / name,
        note=note,
    )


SATCHEL = Satchel(
    "satchel",
    "Satchel",
    _satchel,
    promises=True,
    note="satchel serve in production mode: a key and a line of log for each request",
)
CONTESTANTS: tuple[Contestant, ...] = (
    SATCHEL,
    Contestant(
        "flask_tutorial",
        "Flask, the tutorial",
        _gunicorn("flask_tutorial"),
        "postgresql+psycopg2",
        modules=("flask", "flask_sqlalchemy", "psycopg2", "gunicorn"),
        id_type="varchar(50)",
        form=True,
        note="gunicorn, 32 threads a worker, no access log; forms; PUT where others PATCH",
    ),
    Contestant(
        "fastapi_usual",
        "FastAPI + AsyncSession",
        _uvicorn("fastapi_usual"),
        "postgresql+asyncpg",
        note="uvicorn with uvloop and httptools, no access log",
    ),
    Contestant(
        "litestar_aa",
        "Litestar + advanced-alchemy",
        _uvicorn("litestar_aa"),
        "postgresql+asyncpg",
        modules=("litestar", "advanced_alchemy"),
        note="uvicorn with uvloop and httptools, no access log",
    ),
    Contestant(
        "django_rest",
        "Django REST framework",
        _gunicorn("django_peers.rest_wsgi"),
        modules=("django", "rest_framework", "psycopg", "psycopg_pool", "gunicorn"),
        note="gunicorn, 32 threads a worker, no access log; psycopg 3 with its pool",
    ),
    Contestant(
        "django_ninja",
        "django-ninja",
        _uvicorn("django_peers.ninja_asgi"),
        modules=("django", "ninja", "psycopg", "psycopg_pool"),
        note="async queries; uvicorn with uvloop and httptools, no access log; psycopg 3 with its"
        " pool",
    ),
    _node("fastify", "Fastify + pg (Node)", note="no key, no log; node's cluster for two workers"),
    _node(
        "fastify_promises",
        "Fastify, the same promises",
        promises=True,
        note="keys, problems, conditions, idempotency, a line of log and a metric for each request,"
        " as Satchel; node's cluster for two workers",
    ),
    Directus(
        "directus",
        "Directus (Node)",
        _start_node("directus"),
        programs=("node", "npm"),
        packages=_HERE / "directus",
        paths=Paths(
            "/items/accounts",
            "limit={limit}&sort=-created&filter%5Bcreated%5D%5B_lt%5D={before}",
            "limit={limit}&sort=-created&filter%5Bcountry%5D%5B_eq%5D={country}",
        ),
        token="only-for-measuring",
        heavy=True,
        note="a token with each request, activity and revisions of each write; no log; node's"
        " cluster for two workers",
    ),
    Contestant(
        "raw_asgi",
        "ASGI + asyncpg, bare",
        _uvicorn("raw_asgi"),
        note="the floor: no framework, no checks, JSON built by PostgreSQL",
    ),
    Contestant(
        "fastapi_constant",
        "FastAPI, a constant",
        _uvicorn("fastapi_constant"),
        constant=True,
        note="no database, no work",
    ),
)
