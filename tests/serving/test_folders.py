"""A temporary folder goes with its process, also with one that was killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from app.serving import folders
from app.serving.folders import temporary_folder

# Processes that share a folder until they are killed.
FORKED = """
import os, signal, sys
from pathlib import Path
from app.serving.folders import temporary_folder
with temporary_folder("own-", Path(sys.argv[1])) as folder:
    (folder / "data").write_text("kept")
    if child := os.fork():
        print(child, flush=True)
    signal.pause()
"""


def folders_in(parent: Path) -> set[str]:
    return {path.name for path in parent.iterdir()}


def test_a_folder_is_removed_at_the_end(tmp_path: Path) -> None:
    with temporary_folder("own-", tmp_path) as folder:
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "data").touch()
    assert folders_in(tmp_path) == set()


def test_a_folder_that_somebody_else_has_removed_is_no_error(tmp_path: Path) -> None:
    with temporary_folder("own-", tmp_path) as folder:
        (folder / "lock").unlink()
        folder.rmdir()
    assert folders_in(tmp_path) == set()


def test_a_folder_is_removed_by_the_next_process_once_all_of_its_own_are_killed(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", FORKED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        [left] = folders_in(tmp_path)
        process.kill()
        process.wait()
        with temporary_folder("own-", tmp_path):
            assert left in folders_in(tmp_path)
        os.kill(child, signal.SIGKILL)
        assert process.stdout.read() == ""  # the child has it open until it has ended
    with temporary_folder("own-", tmp_path) as folder:
        assert folders_in(tmp_path) == {folder.name}


def test_what_is_not_such_a_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "own-other").mkdir()
    (tmp_path / "own-file").touch()
    (tmp_path / "another").mkdir()
    (tmp_path / "another" / "lock").touch()
    with temporary_folder("own-", tmp_path):
        pass
    assert folders_in(tmp_path) == {"own-other", "own-file", "another"}


@pytest.mark.parametrize("removed", [False, True])
def test_a_folder_that_another_process_takes_first_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: bool
) -> None:
    taken: list[Path] = []

    def lose_once(file: BinaryIO) -> bool:
        if taken:
            return True
        taken.append(Path(file.name).parent)
        if removed:
            Path(file.name).unlink()
            taken[0].rmdir()
        return removed

    monkeypatch.setattr(folders, "try_lock", lose_once)
    with temporary_folder("own-", tmp_path) as folder:
        assert folder.is_dir()
        assert folder not in taken
