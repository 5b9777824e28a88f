"""The URLs of databases: parsed, checked, and kept secret."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, SecretStr
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_DRIVERS: Final = {
    "postgres",
    "postgresql",
    "postgresql+asyncpg",
    "postgresql+psycopg2",
    "postgresql+psycopg",
}
# psycopg has another name for this option; URLs of platforms and tutorials use it.
_RENAMED_OPTIONS: Final = {"sslmode": "ssl"}
# The options that asyncpg takes, and the form of their values.
_OPTIONS: Final = {
    "host": ".+",
    "port": r"\d{1,5}",
    "ssl": "disable|allow|prefer|require|verify-ca|verify-full",
    "target_session_attrs": "any|primary|standby|read-write|read-only|prefer-standby",
    "prepared_statement_cache_size": r"\d+",
}


def parse_database_url(text: str) -> URL:
    """Make an asyncpg URL of any of the usual PostgreSQL ones.

    Errors: ValueError, whose message never holds the URL (it may hold a password).
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError("is not a URL like postgresql://user:password@host:5432/name") from None
    if url.drivername not in _DRIVERS:
        raise ValueError(
            "must begin with postgresql://, postgresql+asyncpg:// or postgresql+psycopg2://"
        )
    if not url.database:
        raise ValueError("must end with the name of a database, as in postgresql://host/name")
    # An unescaped @ moves a part of the password into the host or the name, which errors show.
    if "@" in f"{url.host}{url.database}":
        raise ValueError("has more than one @: write one that belongs to the password as %40")
    if url.port is not None and not 1 <= url.port <= 65535:
        raise ValueError("has a port that is not in 1 to 65535")
    options = {}
    for name, value in url.query.items():
        option = _RENAMED_OPTIONS.get(name, name)
        if option not in _OPTIONS:
            raise ValueError(f"has the option {name}, which the driver does not know")
        values = [value] if isinstance(value, str) else value
        if not all(re.fullmatch(_OPTIONS[option], each) for each in values):
            raise ValueError(f"has a value of {name} that the driver does not know")
        options[option] = value
    return url.set(drivername="postgresql+asyncpg", query=options)


def _check(value: SecretStr) -> SecretStr:
    parse_database_url(value.get_secret_value())
    return value


DatabaseURL = Annotated[SecretStr, AfterValidator(_check)]
