"""Errors that an operator can fix end commands with a report, and no traceback."""

from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool

import asyncpg
import pytest
import typer

from app.cli.error_reports import reporting_errors
from app.cli.outputs import FileError
from app.errors import Fault, InvalidRequest, MalformedBody

pytestmark = pytest.mark.usefixtures("logs_restored", "directory")
DATABASE = "The database cannot be used (run `satchel check` for details):"
FILE = "The file cannot be imported:"
FAULTS = [
    Fault(pointer="/x", code="unknown", detail="No such column."),
    Fault(pointer="/y", code="required", detail="Is required."),
]


def errors() -> Iterator[tuple[Exception, str, list[str]]]:
    yield asyncpg.ConnectionDoesNotExistError("lost"), DATABASE, ["lost"]
    yield asyncpg.InterfaceError("closed"), DATABASE, ["closed"]
    yield ConnectionResetError(104, "reset"), DATABASE, ["[Errno 104] reset"]
    yield FileError("full"), "The output cannot be written:", ["full"]
    yield MalformedBody("Not UTF-8."), FILE, ["Not UTF-8."]
    yield InvalidRequest(errors=FAULTS), FILE, ["/x: No such column.", "/y: Is required."]
    yield (
        BrokenProcessPool(),
        "The import stopped:",
        ["A process that checks rows was killed, as for want of memory."],
    )


@pytest.mark.parametrize(("error", "title", "lines"), [*errors()])
def test_have_a_title_and_what_is_wrong(
    capsys: pytest.CaptureFixture[str], error: Exception, title: str, lines: list[str]
) -> None:
    with pytest.raises(typer.Exit) as caught, reporting_errors():
        raise error
    assert caught.value.exit_code == 1
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == ("", [title, *(f"  {line}" for line in lines)])


def test_of_the_program_itself_are_raised() -> None:
    with pytest.raises(ZeroDivisionError), reporting_errors():
        raise ZeroDivisionError
