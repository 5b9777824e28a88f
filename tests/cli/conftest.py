"""Where commands run, and the database that they find."""

from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.servers import server_environment


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, without `.env` and embedded server."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def named_database(database: URL, monkeypatch: pytest.MonkeyPatch) -> URL:
    """A migrated database that the environment configures."""
    for name, value in server_environment(database).items():
        monkeypatch.setenv(name, value)
    return database
