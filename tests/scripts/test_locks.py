"""`make check` tells a lock that is not what `make lock` would write, on whatever day."""

import http.server
import json
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import locks, uv
from tests.scripts.packages import make_wheel, sha256

OLD, NEW = "2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
LOCK = "one.lock"


class Index:
    """An index of metadata that says when each file was uploaded, as the public one does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, list[dict[str, object]]] = {}

    def publish(self, name: str, version: str, when: str = OLD, build: str = "") -> None:
        wheel = make_wheel(self.folder, name, version)
        if build:  # another file of the same version
            wheel = wheel.rename(wheel.with_name(wheel.name.replace("-py3", f"-{build}-py3")))
            with zipfile.ZipFile(wheel, "a") as archive:
                archive.comment = build.encode()
        self.files.setdefault(name, []).append(
            {
                "filename": wheel.name,
                "url": f"/files/{wheel.name}",
                "hashes": {"sha256": sha256(wheel)},
                "upload-time": when,
                "core-metadata": True,
            }
        )

    def answer(self, path: str) -> tuple[str, bytes] | None:
        _, kind, name, *_ = path.split("/")
        if kind == "files":
            with zipfile.ZipFile(self.folder / name.removesuffix(".metadata")) as wheel:
                [metadata] = [path for path in wheel.namelist() if path.endswith("METADATA")]
                return "text/plain", wheel.read(metadata)
        if name not in self.files:
            return None
        page = {"meta": {"api-version": "1.1"}, "name": name, "files": self.files[name]}
        return "application/vnd.pypi.simple.v1+json", json.dumps(page).encode()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    index = Index(tmp_path / "files")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = index.answer(self.path)
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", answer[0] if answer else "text/plain")
            self.end_headers()
            self.wfile.write(answer[1] if answer else b"")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{server.server_port}/simple")
        monkeypatch.setenv("UV_NO_CACHE", "1")
        yield index
        server.shutdown()
        thread.join()


@pytest.fixture
def project(tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one lock, of a package in two files."""
    root = tmp_path / "project"
    root.mkdir()
    for module in (uv, locks):
        monkeypatch.setattr(module, "ROOT", root)
    monkeypatch.setattr(locks, "LOCKED_AT", root / "locked_at.txt")
    monkeypatch.setattr(locks, "INSTALLER", LOCK)
    monkeypatch.setattr(locks, "LOCKS", {LOCK: ["pyproject.toml"]})
    monkeypatch.setattr(uv, "pip_settings", dict)
    monkeypatch.setattr(locks, "fetch_uv", lambda: uv.OWN_UV)
    index.publish("part", "1.0")
    index.publish("part", "1.0", build="2")
    require(root, "part")
    locks.write(upgrade=False)
    return root


def require(root: Path, *names: str) -> None:
    table = f'[project]\nname = "whole"\nversion = "1"\ndependencies = {json.dumps(names)}\n'
    (root / "pyproject.toml").write_text(table)


def rejection() -> str:
    with pytest.raises(SystemExit) as rejected:
        locks.check()
    return str(rejected.value)


def test_a_lock_as_it_was_written_passes(project: Path) -> None:
    locks.check()
    assert (project / LOCK).read_text().count("--hash=sha256:") == 2


def test_what_is_published_later_changes_nothing(project: Path, index: Index) -> None:
    index.publish("part", "2.0", NEW)
    index.publish("part", "1.0", NEW, build="3")
    locks.check()


def test_a_version_that_could_be_newer_passes(project: Path, index: Index) -> None:
    index.publish("part", "2.0")
    locks.check()


def test_a_version_is_kept_until_it_is_told_to_be_upgraded(project: Path, index: Index) -> None:
    index.publish("part", "2.0")
    locks.write(upgrade=False)
    assert "part==1.0" in (project / LOCK).read_text()
    locks.write(upgrade=True)
    assert "part==2.0" in (project / LOCK).read_text()


def test_a_missing_hash_is_told(project: Path) -> None:
    lines = (project / LOCK).read_text().splitlines(keepends=True)
    hashes = [line for line in lines if "--hash" in line]
    lines.remove(hashes[0])
    (project / LOCK).write_text("".join(lines))
    assert f"+{hashes[0].rstrip()}" in rejection()


def test_a_hash_that_the_index_does_not_know_is_told(project: Path) -> None:
    text = (project / LOCK).read_text()
    foreign = f"    --hash=sha256:{'0' * 64} \\\n"
    (project / LOCK).write_text(text.replace("part==1.0 \\\n", f"part==1.0 \\\n{foreign}"))
    assert f"-{foreign.rstrip()}" in rejection()


def test_a_requirement_that_is_not_locked_is_told(project: Path, index: Index) -> None:
    index.publish("more", "1.0")
    require(project, "part", "more")
    assert "+more==1.0" in rejection()


def test_a_package_that_nothing_requires_is_told(project: Path) -> None:
    with (project / LOCK).open("a") as lock:
        lock.write(f"stray==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    assert "-stray==1.0" in rejection()


def test_without_an_index_the_check_fails_and_says_so(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setattr(sys, "argv", ["locks", "--check"])
    with pytest.raises(SystemExit) as rejected:
        locks.main()
    assert "The locks cannot be compared with the package index: one.lock: " in str(rejected.value)
