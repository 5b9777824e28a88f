"""Error reports: commands print errors that an operator can fix in a few lines."""

from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from app.auth.keys import ApiKeyError
from app.cli.checks import explain
from app.cli.outputs import FileError
from app.config import ConfigurationError, Settings, load_settings
from app.demo import DemoError
from app.postgres.backups import BackupError
from app.postgres.embedded import EmbeddedError
from app.postgres.failures import FAILURES
from app.postgres.refolding import RefoldingError
from app.telemetry.logs import configure_logs


@contextmanager
def reporting_errors(**options: Any) -> Iterator[Settings]:
    """The settings for a command. Errors end it with status 1 and a report without traceback."""
    try:
        settings = load_settings(**{k: v for k, v in options.items() if v is not None})
        configure_logs(settings)
        yield settings
    except ConfigurationError as error:
        _fail("The settings are wrong:", str(error))
    except EmbeddedError as error:
        _fail("The embedded PostgreSQL does not start:", str(error))
    except (ApiKeyError, DemoError) as error:
        _fail("Nothing was changed:", str(error))
    except RefoldingError as error:
        _fail("The migration stopped:", str(error))
    except CommandError as error:
        _fail("The migrations cannot be used:", str(error))
    except BackupError as error:
        _fail("Nothing was backed up or restored:", str(error))
    except FileError as error:
        _fail("The output cannot be written:", str(error))
    except (KeyboardInterrupt, CancelledError):
        _fail("Stopped:", "The command did not come to its end.")
    except (SQLAlchemyError, *FAILURES) as error:
        _fail("The database cannot be used (run `satchel check` for details):", explain(error))


def _fail(title: str, text: str) -> NoReturn:
    typer.secho(title, fg="red", err=True)
    typer.echo("  " + text.replace("\n", "\n  "), err=True)
    raise typer.Exit(1)
