"""PgBouncer in front of the databases of tests, as the operator's page sets it up."""

import contextlib
import re
import socket
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

from sqlalchemy import URL

from app.postgres.embedded.privileges import choose_user
from tests.databases import POOLERS
from tests.programs import find_program
from tests.servers import free_port
from tests.waiting import wait_until

_PAGE = Path(__file__).parents[1] / "docs" / "operations.md"
SERVER_CONNECTIONS = 4


def shown_settings() -> ConfigParser:
    """The pgbouncer.ini of the page."""
    [text] = re.findall(r"^```ini\n(.*?)^```", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    settings = ConfigParser(interpolation=None)
    settings.read_string(text)
    return settings


class Pooler:
    """A PgBouncer with these settings, and a port of its own."""

    def __init__(self, folder: Path, settings: ConfigParser) -> None:
        self.port = free_port()
        self.log = folder / "pgbouncer.log"
        self._program = find_program("pgbouncer", "pgbouncer")
        self._settings = folder / "pgbouncer.ini"
        settings["pgbouncer"].update({"listen_port": str(self.port), "unix_socket_dir": ""})
        with self._settings.open("w") as file:
            settings.write(file)

    def start(self) -> None:
        # As the user of the embedded server, who alone reaches its socket; as root it does not run.
        user = choose_user(self._settings.parent / "none")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*user.wrapper, self._program, self._settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=None if user.wrapper else user.uid,
                group=None if user.wrapper else user.gid,
                start_new_session=True,
            )
        wait_until(self._listens, f"PgBouncer does not start, see {self.log}")

    def _listens(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def url_of(self, database: URL) -> URL:
        """The URL of a database, through this."""
        return database.set(host="127.0.0.1", port=self.port, query={})


@contextlib.contextmanager
def running_pooler(
    server: URL, folder: Path, users: str = "", **options: str | int
) -> Iterator[Pooler]:
    """A PgBouncer in front of all databases of a server, as the page sets it up.

    users: the content of its file of users; by default anybody is the user of the server.
    options: win over those of the page.
    """
    folder.mkdir()
    folder.chmod(0o755)  # for the user of the server
    file = folder / "userlist.txt"
    file.write_text(users)
    settings = shown_settings()
    user = "" if users else f" user={server.username}"
    settings["databases"] = {"*": f"{connection_string(server)}{user}"}
    own = {"auth_file": file, "default_pool_size": SERVER_CONNECTIONS}
    for name, value in (own | ({} if users else {"auth_type": "any"}) | options).items():
        settings["pgbouncer"][name] = str(value)
    pooler = Pooler(folder, settings)
    pooler.start()
    try:
        yield pooler
    finally:
        pooler.stop()


def connection_string(server: URL) -> str:
    """Where a server is, as PgBouncer takes it."""
    values = {
        "host": server.query.get("host") or server.host or "127.0.0.1",
        "port": server.query.get("port") or server.port or 5432,
        "password": server.password,
    }
    return " ".join(f"{name}={value}" for name, value in values.items() if value)


@contextlib.contextmanager
def pooler_between(server: URL, folder: Path) -> Iterator[None]:
    """While the block runs, applications reach the databases of a server through a pooler."""
    # Whoever has to wait, waits: the machine may be slow.
    with running_pooler(server, folder, query_wait_timeout=120) as pooler:
        POOLERS[server.set(database="")] = pooler
        yield
        POOLERS.clear()
