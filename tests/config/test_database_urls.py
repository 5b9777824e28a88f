"""The options of a database URL reach the driver in a form that it takes."""

import ssl
from typing import Any
from urllib.parse import quote

import pytest

from app.config import driver_arguments, parse_database_url

CERTIFICATES = __file__  # a file that is there


class TestDriverArguments:
    """What SQLAlchemy would pass on wrongly goes to the driver in its own form."""

    def arguments(self, query: str) -> tuple[dict[str, Any], dict[str, Any]]:
        url, arguments = driver_arguments(parse_database_url(f"postgresql://h/d?{query}"))
        return dict(url.query), arguments

    def test_files_and_options_are_those_of_a_url(self) -> None:
        found = self.arguments(f"sslmode=verify-ca&sslrootcert={CERTIFICATES}&options=a%3Db%26c")
        dsn = f"postgresql:///?sslrootcert={quote(CERTIFICATES, safe='')}&options=a%3Db%26c"
        assert found == ({"ssl": "verify-ca"}, {"dsn": dsn})

    def test_a_pooler_needs_both_caches_off(self) -> None:
        found = self.arguments("pgbouncer=true")
        assert found == ({"prepared_statement_cache_size": "0"}, {"statement_cache_size": 0})

    @pytest.mark.parametrize(
        "query", ["sslrootcert=system", "sslmode=verify-full&sslrootcert=system"]
    )
    def test_the_authorities_of_the_system_are_those_of_python(self, query: str) -> None:
        rest, arguments = self.arguments(query)
        context = arguments.pop("ssl")
        assert (rest, arguments) == ({}, {})
        assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)

    def test_others_are_left_alone(self) -> None:
        assert self.arguments("host=a:1&host=b:2") == ({"host": ("a:1", "b:2")}, {})
