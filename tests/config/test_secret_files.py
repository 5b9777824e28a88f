"""Secrets may come from files that variables name, and no message shows them."""

import os
import signal
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource
from sqlalchemy import URL

from app.config import SECRETS, ConfigurationError, Settings, load_settings
from app.config.secret_files import SecretFiles
from tests.guard import descendants
from tests.servers import Server, server_environment
from tests.waiting import wait_until

URL_TEXT = "postgresql://me:hunter2@db.example.com/satchel"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal() -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)
    return str(caught.value)


class TestFile:
    @pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
    @pytest.mark.parametrize("name", [name.upper() for name in SECRETS])
    def test_holds_any_secret(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch, name: str, end: str
    ) -> None:
        (directory / "secret").write_bytes(f"{URL_TEXT}{end}".encode())
        monkeypatch.setenv(f"{name}_FILE", "secret")
        found = SecretFiles(Settings, EnvSettingsSource(Settings))()
        assert found == {name.lower(): URL_TEXT}

    def test_is_what_the_database_is_reached_by(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (directory / "secret").write_text(f"{URL_TEXT}\n")
        monkeypatch.setenv("CONFIG_MODE", "production")
        monkeypatch.setenv("DATABASE_URL_FILE", str(directory / "secret"))
        url = load_settings().url
        assert url is not None
        assert (url.password, url.database) == ("hunter2", "satchel")

    def test_may_be_named_in_env_which_yields_to_the_environment(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (directory / "secret").write_text(URL_TEXT)
        (directory / ".env").write_text("CONFIG_MODE=production\nDATABASE_URL_FILE=secret\n")
        assert load_settings().database_url == SecretStr(URL_TEXT)
        monkeypatch.setenv("DATABASE_URL", "postgresql://h/other")
        assert load_settings().database_url == SecretStr("postgresql://h/other")
        monkeypatch.delenv("DATABASE_URL")
        (directory / ".env").write_text("CONFIG_MODE=production\nDATABASE_URL=postgresql://h/x\n")
        monkeypatch.setenv("DATABASE_URL_FILE", "secret")
        assert load_settings().database_url == SecretStr(URL_TEXT)

    def test_is_no_way_for_what_is_no_secret(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (directory / "port").write_text("1")
        monkeypatch.setenv("PORT_FILE", "port")
        assert load_settings().port == 8000


class TestRefusals:
    def test_both_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", URL_TEXT)
        monkeypatch.setenv("DATABASE_URL_FILE", "/nowhere")
        assert refusal() == "DATABASE_URL and DATABASE_URL_FILE are both set: unset one"

    def test_a_file_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL_FILE", URL_TEXT)  # as by mistake
        reason = "No such file or directory"
        assert refusal() == f"DATABASE_URL_FILE: the file cannot be read: {reason}"

    def test_each_is_reported(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (directory / "bytes").write_bytes(b"\xff")
        (directory / "empty").write_bytes(b"\n")
        monkeypatch.setenv("TEST_DATABASE_URL_FILE", "bytes")
        monkeypatch.setenv("STAGING_DATABASE_URL_FILE", "empty")
        monkeypatch.setenv("DATABASE_URL_FILE", str(directory))
        assert refusal().splitlines() == [
            "TEST_DATABASE_URL_FILE: the file cannot be read: it is empty or not UTF-8",
            "STAGING_DATABASE_URL_FILE: the file cannot be read: it is empty or not UTF-8",
            "DATABASE_URL_FILE: the file cannot be read: Is a directory",
        ]


class Others(BaseSettings):
    """Settings with secrets of other shapes."""

    token: SecretStr = SecretStr("")
    tokens: list[SecretStr] = []
    plain: str = ""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **_: object
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (SecretFiles(settings_cls, EnvSettingsSource(settings_cls)),)


def test_secrets_of_any_shape_are_read(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "token").write_text("one\n")
    (directory / "tokens").write_text('["one", "two"]\n')
    for name in ("token", "tokens", "plain"):
        monkeypatch.setenv(f"{name.upper()}_FILE", name)
    found = Others()
    assert found.token == SecretStr("one")
    assert found.tokens == [SecretStr("one"), SecretStr("two")]
    assert found.plain == ""


@pytest.mark.slow
@pytest.mark.usefixtures("measured")
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("place", ["a file", ".env", "a file that .env names"])
@pytest.mark.parametrize("options", [("--workers", "2"), ("--reload",)])
def test_is_in_the_environment_of_no_worker(
    database: URL, directory: Path, place: str, options: tuple[str, ...]
) -> None:
    environment = server_environment(database)
    url = environment.pop("TEST_DATABASE_URL")
    (directory / "secret").write_text(url)
    if place == "a file":
        environment["TEST_DATABASE_URL_FILE"] = "secret"
    else:
        line = f"={url}" if place == ".env" else "_FILE=secret"
        (directory / ".env").write_text(f"TEST_DATABASE_URL{line}\n")
    server = Server(environment, *options, cwd=directory)
    try:
        server.wait_until_ready()
        (directory / "secret").unlink()  # the parent has read it
        program = "app.cli.commands" if "--workers" in options else "spawn_main"
        workers = [
            pid
            for pid in descendants({server.process.pid}) - {server.process.pid}
            if program in Path(f"/proc/{pid}/cmdline").read_text()
        ]
        assert workers
        for pid in workers:
            found = Path(f"/proc/{pid}/environ").read_text()
            assert "CONFIG_MODE" in found
            assert str(database.database) not in found
        if "--workers" in options:
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: server.log.read_text().count("worker ended") == len(workers))
            server.wait_until_ready()
    finally:
        server.stop()
