"""The environment of whoever runs the tests, which must not change them.

No test may touch the database that a variable names: only the server that TEST_DATABASE_URL names
is used.
"""

import os
from collections.abc import Sequence

from app.config import Settings

# What transactions are in the databases of tests, unless they name another isolation.
ISOLATION = os.environ.get("TEST_ISOLATION", "read committed")


def _take_test_server() -> str | None:
    """The value of TEST_DATABASE_URL; all variables that settings read are removed."""
    found = os.environ.get("TEST_DATABASE_URL")
    for name in Settings.model_fields:
        os.environ.pop(name.upper(), None)
        os.environ.pop(f"{name.upper()}_FILE", None)
    return found


TEST_SERVER = _take_test_server()
# Whether PgBouncer is between the applications of tests and their databases.
WITH_POOLER = os.environ.get("TEST_POOLER") == "pgbouncer"


def assert_ran(statements: Sequence[str], times: int) -> None:
    """So many statements have run. Those that stricter transactions refuse run again."""
    again = len(statements) - times
    assert again == 0 or (ISOLATION != "read committed" and again > 0)
