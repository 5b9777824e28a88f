"""Files that are whole or not there."""

import errno
import os
import stat
from pathlib import Path

import pytest

from app.cli.files import FileError, whole_file


def test_a_whole_file_replaces_the_old_one_and_is_private(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    with whole_file(file) as part:
        part.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_no_part(
    tmp_path: Path, error: type[BaseException]
) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    with pytest.raises(error), whole_file(file) as part:
        part.write_text("new")
        raise error
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(FileError, match="Is a directory"), whole_file(folder):
        pass
    assert list(tmp_path.iterdir()) == [folder]


def test_a_disk_that_is_full_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match="No space left"), whole_file(tmp_path / "file"):
        pass
    assert list(tmp_path.iterdir()) == []
