"""Whoever runs a command sees how far it is: on a terminal, and in a log."""

import io

import pytest

from app.cli import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show_some() -> None:
    with progress.showing_progress("Exporting accounts") as show:
        show(1)
        show(1500)


def test_a_terminal_shows_a_line_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal)
    show_some()
    drawn, _, last = terminal.getvalue().rstrip("\n").rpartition("\n")
    assert "Exporting accounts: 1,500 rows in " in drawn
    assert "Exporting accounts: 1,500 rows in " in last


def test_a_log_has_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_INTERVAL_SECONDS", 0)
    show_some()
    lines = capsys.readouterr().err.splitlines()
    counts = [line.partition(": ")[2].partition(" rows in ")[0] for line in lines]
    assert counts == ["1", "1,500", "1,500"]


def test_a_log_of_a_short_run_has_the_last_line_alone(capsys: pytest.CaptureFixture[str]) -> None:
    show_some()
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_what_fails_has_no_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with progress.showing_progress("Exporting accounts"):
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    assert capsys.readouterr().err == ""
