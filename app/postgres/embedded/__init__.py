"""The embedded PostgreSQL: a server without any set-up, for development and tests."""

from app.postgres.embedded.binaries import find_binaries, folders_with, major_version
from app.postgres.embedded.home import EmbeddedError
from app.postgres.embedded.server import embedded_postgres

__all__ = ["EmbeddedError", "embedded_postgres", "find_binaries", "folders_with", "major_version"]
