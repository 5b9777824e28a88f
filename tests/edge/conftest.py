"""The server that tests of the HTTP contract share is also that of tests on the wire."""

from tests.api.conftest import running, unharmed

__all__ = ["running", "unharmed"]
