"""Logs: one format for the lines of Satchel and of all libraries."""

import json
import logging
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from time import time_ns
from typing import Any

import structlog
from pydantic_core import to_json
from structlog.typing import EventDict

from app.config import Settings
from app.telemetry.outlet import OUTLET

_processors: list[Any] = []


class _TimeStamper:
    """Adds the time in UTC. The text up to the second is made once a second."""

    def __init__(self) -> None:
        self._last = (0, "")

    def __call__(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        second, nanoseconds = divmod(time_ns(), 1_000_000_000)
        last, text = self._last
        if last != second:
            text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._last = (second, text)
        event["timestamp"] = f"{text}.{nanoseconds // 1000:06}Z"
        return event


def configure_logs(settings: Settings) -> None:
    """Write all logs to standard error, as text or as JSON lines."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_timestamp,
    ]
    renderer: Any = (
        _render_json
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    last: list[Any] = [structlog.processors.ExceptionRenderer(_format_exception), renderer]
    # The same list each time: loggers that have been used keep a reference to it.
    _processors[:] = [structlog.stdlib.filter_by_level, *shared, *last]
    # Satchel's own lines bypass the logging module, which would add a third to the cost of a
    # request.
    structlog.configure(
        processors=_processors,
        wrapper_class=Logger,
        logger_factory=Lines,
        cache_logger_on_first_use=True,
    )
    last.insert(0, structlog.stdlib.ProcessorFormatter.remove_processors_meta)
    handler = logging.StreamHandler(OUTLET)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last)
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    logging.getLogger("satchel.sql").setLevel("DEBUG" if settings.debug else "WARNING")
    # The command `uvicorn` sets up handlers of its own.
    for logger in (logging.getLogger("uvicorn"), logging.getLogger("uvicorn.error")):
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    logging.getLogger("alembic.runtime.migration").addFilter(_is_upgrade)
    # Satchel writes the line of a request; uvicorn's would contain the query.
    logging.getLogger("uvicorn.access").disabled = True


class Logger(structlog.BoundLogger):
    """structlog's logger, except that `info` builds a JSON line at once.

    Each request has such a line. Running all processors, which give the same one, takes twice as
    long.
    """

    def info(self, event: str, **fields: Any) -> None:
        if _processors[-1] is not _render_json or self._context or "exc_info" in fields:
            self._proxy_to_logger("info", event, **fields)
        elif self._logger.getEffectiveLevel() <= logging.INFO:
            fields["event"] = event
            fields["level"] = "info"
            fields["logger"] = self._logger.name
            self._logger.info(_render_json(None, "info", _add_timestamp(None, "info", fields)))

    def exception(self, event: str, **fields: Any) -> None:
        self.error(event, exc_info=True, **fields)


class Lines:
    """A logger that writes lines to standard error. The logging module holds its level."""

    disabled = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.getEffectiveLevel = logging.getLogger(name).getEffectiveLevel

    def _write_soon(self, line: str) -> None:
        OUTLET.write(f"{line}\n")
        OUTLET.flush_soon()

    def _write_now(self, line: str) -> None:
        OUTLET.write(f"{line}\n")
        OUTLET.flush()

    debug = info = warning = _write_soon
    error = critical = _write_now


def _to_json(event: EventDict, default: Callable[[Any], Any]) -> str:
    """Serialize with pydantic-core, in a fifth of the time that `json` takes. Lines that are not
    ASCII go through `json`, whose escapes survive if standard error is not UTF-8.
    """
    try:
        line = to_json(event, fallback=default).decode()
    except ValueError:  # a lone surrogate
        return json.dumps(event, default=default)
    return line if line.isascii() else json.dumps(event, default=default)


_add_timestamp = _TimeStamper()
_render_json = structlog.processors.JSONRenderer(_to_json)


def _is_upgrade(record: logging.LogRecord) -> bool:
    """Alembic's other lines only repeat the dialect for every connection."""
    return record.getMessage().startswith("Running")


def _format_exception(exc_info: Any) -> str:
    """The traceback with only the first line of each message: the next lines may contain the
    parameters of a statement (SQLAlchemy) or the row that was refused (PostgreSQL).
    """
    text = "".join(traceback.format_exception(*exc_info))
    error = exc_info[1]
    while error is not None:
        if lines := str(error).splitlines():
            text = text.replace(str(error), lines[0])
        error = error.__cause__ or error.__context__
    return text.rstrip()
