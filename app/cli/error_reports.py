"""Error reports: commands print errors that an operator can fix in a few lines."""

from asyncio import CancelledError
from collections.abc import Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import typer
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from app.auth.keys import ApiKeyError
from app.cli.checks import explain
from app.cli.outputs import FileError
from app.config import ConfigurationError, Settings, load_settings
from app.demo import DemoError
from app.errors import Problem
from app.postgres.backups import BackupError
from app.postgres.embedded import EmbeddedError
from app.postgres.failures import FAILURES
from app.postgres.refolding import RefoldingError
from app.telemetry.logs import configure_logs

_TITLES: Final[Mapping[type[Exception], str]] = {
    ConfigurationError: "The settings are wrong:",
    EmbeddedError: "The embedded PostgreSQL does not start:",
    ApiKeyError: "Nothing was changed:",
    DemoError: "Nothing was changed:",
    RefoldingError: "The migration stopped:",
    CommandError: "The migrations cannot be used:",
    BackupError: "Nothing was backed up or restored:",
    FileError: "The output cannot be written:",
}


@contextmanager
def reporting_errors(**options: Any) -> Iterator[Settings]:
    """The settings for a command. Errors end it with status 1 and a report without traceback."""
    try:
        settings = load_settings(**{k: v for k, v in options.items() if v is not None})
        configure_logs(settings)
        yield settings
    except tuple(_TITLES) as error:
        _fail(next(_TITLES[kind] for kind in _TITLES if isinstance(error, kind)), str(error))
    except Problem as problem:
        faults = [f"{fault['pointer']}: {fault['detail']}" for fault in problem.errors]
        _fail("The file cannot be imported:", "\n".join(faults) or str(problem))
    except BrokenProcessPool:
        _fail(
            "The import stopped:", "A process that checks rows was killed, as for want of memory."
        )
    except (KeyboardInterrupt, CancelledError):
        _fail("Stopped:", "The command did not come to its end.")
    except (SQLAlchemyError, *FAILURES) as error:
        _fail("The database cannot be used (run `satchel check` for details):", explain(error))


def _fail(title: str, text: str) -> NoReturn:
    typer.secho(title, fg="red", err=True)
    typer.echo("  " + text.replace("\n", "\n  "), err=True)
    raise typer.Exit(1)
