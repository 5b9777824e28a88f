"""The embedded PostgreSQL: a server of our own, for development and tests, with nothing to set up.

`keeper` decides which process runs the server and when; `server` starts it, with `cluster` for its
data, `launch` and `child` for its processes and `privileges` for whom it runs as; `binaries` finds
the programs and `home` is the directory where all meet.
"""

from app.postgres.embedded.binaries import find_binaries
from app.postgres.embedded.fault import EmbeddedError
from app.postgres.embedded.keeper import embedded_postgres

__all__ = ["EmbeddedError", "embedded_postgres", "find_binaries"]
