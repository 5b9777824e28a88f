"""The URLs of databases: parsed, checked, and kept secret."""

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

from pydantic import AfterValidator, SecretStr
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_ONE_HOST: Final = "postgresql://user:password@host:5432/name"
_SEVERAL_HOSTS: Final = "postgresql://user:password@/name?host=one:5432&host=two:5432"
_DRIVERS: Final = {
    "postgres",
    "postgresql",
    "postgresql+asyncpg",
    "postgresql+psycopg2",
    "postgresql+psycopg",
}
# psycopg has another name for this option; URLs of platforms and tutorials use it.
_RENAMED_OPTIONS: Final = {"sslmode": "ssl"}
_FILES: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
# As `sslrootcert`: the authorities that the operating system trusts.
_SYSTEM: Final = "system"
# The options that asyncpg takes in a URL of its own only.
_DSN_OPTIONS: Final = (*_FILES, "options")
# The options that are taken, and the form of their values.
_OPTIONS: Final = {
    "host": ".+",
    "port": r"\d{1,5}(,\d{1,5})*",
    "ssl": "disable|allow|prefer|require|verify-ca|verify-full",
    "target_session_attrs": "any|primary|standby|read-write|read-only|prefer-standby",
    "prepared_statement_cache_size": r"\d+",
    "options": r"[^\0]+",
    **dict.fromkeys(_FILES, ".+"),
}
# What asks for nothing that Satchel or the driver would do otherwise.
_WITHOUT_EFFECT: Final = {
    "channel_binding": "prefer|disable",
    "connect_timeout": r"\d+",  # there is a limit already
    "gssencmode": "prefer|disable",
    "pgbouncer": "false",
}
_INSTEAD: Final = {
    "channel_binding": "write sslmode=verify-full&sslrootcert=system instead",
    "connection_limit": "set POOL_SIZE instead",
    "statement_cache_size": "write prepared_statement_cache_size=0 instead",
    "statement_timeout": "set STATEMENT_TIMEOUT instead",
    "schema": "write options=-csearch_path%3Dname instead",
}


def parse_database_url(text: str) -> URL:
    """Make an asyncpg URL of any of the usual PostgreSQL ones.

    Errors: ValueError, whose message never holds the URL (it may hold a password).
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        form = _SEVERAL_HOSTS if "," in text.rpartition("@")[2] else _ONE_HOST
        raise ValueError(f"is not a URL like {form}") from None
    if url.drivername not in _DRIVERS:
        raise ValueError(
            "must begin with postgresql://, postgresql+asyncpg:// or postgresql+psycopg2://"
        )
    if not url.database:
        raise ValueError("must end with the name of a database, as in postgresql://host/name")
    # An unescaped @ moves a part of the password into the host or the name, which errors show.
    if "@" in f"{url.host}{url.database}":
        raise ValueError("has more than one @: write one that belongs to the password as %40")
    query: dict[str, str | list[str]] = {}
    for name, value in url.query.items():
        query |= _taken(name, [value] if isinstance(value, str) else list(value))
    _check_certificates(query)
    url = url.set(drivername="postgresql+asyncpg", query=query)
    _check_hosts(url)
    return url


def _taken(name: str, values: list[str]) -> dict[str, str | list[str]]:
    """An option and its values as the driver takes them. Errors: ValueError."""
    if name in _WITHOUT_EFFECT and all(re.fullmatch(_WITHOUT_EFFECT[name], one) for one in values):
        return {}
    if (name, values) == ("pgbouncer", ["true"]):
        return {"prepared_statement_cache_size": "0"}
    if (name, values) == ("ssl", ["true"]):
        return {"ssl": "require"}
    option = _RENAMED_OPTIONS.get(name, name)
    if option not in _OPTIONS:
        advice = _INSTEAD.get(name, "leave it out")
        raise ValueError(f"has the option {name}, which the driver does not know: {advice}")
    if not all(re.fullmatch(_OPTIONS[option], one) for one in values):
        raise ValueError(f"has a value of {name} that the driver does not know")
    return {option: values if len(values) > 1 else values[0]}


def _check_certificates(query: Mapping[str, str | list[str]]) -> None:
    files = {name: query[name] for name in _FILES if name in query}
    if files.get("sslrootcert") == _SYSTEM:
        if query.get("ssl", "verify-full") != "verify-full" or len(files) > 1:
            raise ValueError(
                "has sslrootcert=system, which needs sslmode=verify-full and no other files"
            )
        return
    for name, path in files.items():
        if not isinstance(path, str) or not Path(path).is_file():
            raise ValueError(f"names a file in {name} that is not there")


def hosts_of(url: URL) -> list[str]:
    """The hosts in the query of a URL, which may have ports. Without any, its only host is before
    the path, or the driver's default.
    """
    given = url.query.get("host", ())
    return given.split(",") if isinstance(given, str) else list(given)


def _check_hosts(url: URL) -> None:
    """Errors: ValueError, unless SQLAlchemy finds hosts and a port for each of several."""
    several = f"write several like {_SEVERAL_HOSTS}"
    if "," in (url.host or ""):
        raise ValueError(f"names several hosts in the place of one: {several}")
    try:
        _, options = url.get_dialect()().create_connect_args(url)
    except (ArgumentError, ValueError):
        raise ValueError(f"does not have one port for each of its hosts: {several}") from None
    ports = options.get("port", [] if url.port is None else url.port)
    if not all(1 <= port <= 65535 for port in (ports if isinstance(ports, list) else [ports])):
        raise ValueError("has a port that is not in 1 to 65535")


def driver_arguments(url: URL) -> tuple[URL, dict[str, Any]]:
    """The URL without the options that SQLAlchemy would pass on in a form that the driver does not
    take, and what to pass for them.
    """
    arguments: dict[str, Any] = {}
    query = dict(url.query)
    if query.get("prepared_statement_cache_size") == "0":
        # SQLAlchemy's cache and the driver's own; behind a pooler neither works.
        arguments["statement_cache_size"] = 0
    if query.get("sslrootcert") == _SYSTEM:
        del query["sslrootcert"]
        query.pop("ssl", None)
        arguments["ssl"] = ssl.create_default_context()
    of_dsn: dict[str, object] = {name: query.pop(name) for name in _DSN_OPTIONS if name in query}
    if of_dsn:
        arguments["dsn"] = f"postgresql:///?{urlencode(of_dsn, doseq=True, quote_via=quote)}"
    return url.set(query=query), arguments


def _check(value: SecretStr) -> SecretStr:
    parse_database_url(value.get_secret_value())
    return value


DatabaseURL = Annotated[SecretStr, AfterValidator(_check)]
