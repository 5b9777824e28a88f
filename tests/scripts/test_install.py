"""Locks are installed as they stand: on any day, from wherever pip would take them."""

import os
import subprocess
import sys
import venv
from importlib.metadata import distributions
from pathlib import Path

import pytest

from scripts.locks import LOCKS
from scripts.uv import OWN_UV, ROOT, environment_of, find_uv
from tests.clients.conftest import run_tool
from tests.scripts.packages import lock_line, make_index, make_wheel, pins_of

BEYOND = "99999"  # newer than whatever is locked
# The oldest that comes with a Python we support (Debian 12); later Pythons cannot run it.
DEBIANS_PIP = (
    "pip==23.0.1 --hash=sha256:236bcb61156d76c4b8a05821b988c7b8c35bf0da28a4b614e8d6ab5212c25c6f"
)
PINS = {pin.name: pin for lock in LOCKS for pin in pins_of((ROOT / lock).read_text())}
NO_UV = """\
#!/bin/sh
[ "$1" = cache ] && { echo /tmp; exit 0; }
echo "error: the index burns" >&2
exit 2
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """The Python of an empty environment."""
    venv.create(tmp_path / "target", symlinks=True)
    return tmp_path / "target" / "bin" / "python"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Nothing of this machine but its programs; no index has anything."""
    path = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    return {**path, "PIP_INDEX_URL": make_index(tmp_path / "empty")}


@pytest.fixture
def failing_uv(tmp_path: Path) -> str:
    """A PATH with a uv that can install nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "uv").write_text(NO_UV)
    (folder / "uv").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def install(
    lock: Path, target: Path, environment: dict[str, str], python: object = sys.executable
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), "-m", "scripts.install", "--python", str(target), str(lock)],
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )


def installed(target: Path) -> dict[str, str]:
    site = next(target.parent.parent.glob("lib/python3*/site-packages"))
    return {one.name: one.version for one in distributions(path=[str(site)])}


@pytest.fixture
def aged(tmp_path: Path) -> tuple[Path, str]:
    """All locks as one, and the index on a day when there is a newer release of everything.

    Whoever requires a package asks for an extra of it, which the lock does not name: the hardest
    case, since a pip that looks at it wants the newest release, of which the lock has no hash.
    """
    lines, wheels = [], []
    for pin in PINS.values():
        wanted = [other for other in PINS.values() if pin.name in other.required_by]
        requires = [f"{other.name}[more]{other.marker}" for other in wanted]
        wheel = make_wheel(tmp_path / "wheels", pin.name, pin.version, requires)
        lines.append(lock_line(wheel, pin.marker))
        wheels += [wheel, make_wheel(tmp_path / "wheels", pin.name, BEYOND, requires)]
    copy = tmp_path / "aged.lock"
    copy.write_text("".join(lines))
    return copy, make_index(tmp_path / "index", *wheels)


def assert_all_installed(target: Path) -> None:
    """All but what is for other systems and Pythons alone."""
    found = installed(target).items()
    assert found <= {(pin.name, pin.version) for pin in PINS.values()}
    assert found >= {(pin.name, pin.version) for pin in PINS.values() if not pin.marker}


def test_uv_installs_the_locks_after_newer_releases(
    aged: tuple[Path, str], target: Path, environment: dict[str, str]
) -> None:
    done = install(aged[0], target, environment | {"PIP_INDEX_URL": aged[1]})
    assert (done.returncode, done.stderr) == (0, "")
    assert_all_installed(target)


@pytest.mark.slow
def test_pip_installs_the_locks_after_newer_releases(
    aged: tuple[Path, str], target: Path, environment: dict[str, str], failing_uv: str
) -> None:
    told = {"PIP_INDEX_URL": aged[1], "PATH": failing_uv}
    done = install(aged[0], target, environment | told)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "uv cannot install this (error: the index burns): pip does.\n"
    assert_all_installed(target)


if sys.version_info < (3, 12):

    @pytest.mark.slow
    def test_debians_pip_installs_the_locks_after_newer_releases(
        aged: tuple[Path, str], target: Path, environment: dict[str, str], tmp_path: Path
    ) -> None:
        venv.create(tmp_path / "debian", symlinks=True, with_pip=True)
        python = tmp_path / "debian" / "bin" / "python"
        (tmp_path / "pip.txt").write_text(DEBIANS_PIP)
        pip = [python, "-m", "pip", "install", "--quiet", "--require-hashes"]
        run_tool(*pip, "-r", tmp_path / "pip.txt")
        told = {"PIP_INDEX_URL": aged[1], "PATH": "/usr/bin:/bin"}
        done = install(aged[0], target, environment | told, python)
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr.startswith("uv cannot be fetched (ERROR: ")
        assert_all_installed(target)


def test_uv_is_told_of_the_indexes_and_folders_that_pip_is_told_of(
    target: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    wheels = [make_wheel(tmp_path / f"a b{n}", f"part-{n}", "1.0") for n in range(4)]
    newer = make_wheel(tmp_path / "newer", "part-1", "2.0")
    indexes = [make_index(tmp_path / f"ä {n}", wheel) for n, wheel in enumerate([*wheels, newer])]
    (tmp_path / "pip.conf").write_text(
        f"[global]\nextra-index-url =\n    {indexes[1]}\n    {indexes[4]}\n"
        f"find-links = ~/links {tmp_path}\n[install]\nindex-url = {indexes[0]}\n"
    )
    (tmp_path / "links").mkdir()
    wheels[2].rename(tmp_path / "links" / wheels[2].name)
    wheels[3].rename(tmp_path / wheels[3].name)
    lock = tmp_path / "parts.lock"
    held = [wheels[0], newer, tmp_path / "links" / wheels[2].name, tmp_path / wheels[3].name]
    lock.write_text("".join(map(lock_line, held)))
    del environment["PIP_INDEX_URL"]
    done = install(lock, target, environment | {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")})
    assert (done.returncode, done.stderr) == (0, "")
    assert installed(target) == {"part-0": "1.0", "part-1": "2.0", "part-2": "1.0", "part-3": "1.0"}


@pytest.mark.parametrize(
    "with_uv", [pytest.param(True, id="uv"), pytest.param(False, id="pip", marks=pytest.mark.slow)]
)
def test_an_installation_that_does_not_fit_together_fails(
    with_uv: bool, target: Path, environment: dict[str, str], tmp_path: Path, failing_uv: str
) -> None:
    wheel = make_wheel(tmp_path / "wheels", "part", "1.0", ["missing>=2"])
    (tmp_path / "part.lock").write_text(lock_line(wheel))
    told = {"PIP_INDEX_URL": make_index(tmp_path / "index", wheel)}
    told |= {} if with_uv else {"PATH": failing_uv}
    done = install(tmp_path / "part.lock", target, environment | told)
    assert done.returncode == 1
    assert "does not fit together" in done.stderr
    assert "missing" in done.stderr


@pytest.mark.slow
def test_what_has_another_hash_is_not_installed(
    target: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path / "wheels", "part", "1.0")
    (tmp_path / "part.lock").write_text(lock_line(wheel))
    make_wheel(tmp_path / "wheels", "part", "1.0", ["other"])
    told = {"PIP_INDEX_URL": make_index(tmp_path / "index", wheel)}
    done = install(tmp_path / "part.lock", target, environment | told)
    assert done.returncode == 1  # neither by uv nor by pip
    assert "uv cannot install this" in done.stderr
    assert installed(target) == {}


def test_what_uv_is_told_itself_comes_before_what_pip_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.test/simple")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_NO_CACHE"):
        monkeypatch.delenv(name, raising=False)
    environment = environment_of(OWN_UV)
    assert environment["UV_DEFAULT_INDEX"] == "https://pip.test/simple"
    assert environment["UV_NO_CACHE"] == "1"
    assert environment["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    monkeypatch.setenv("UV_INDEX_URL", "https://uv.test/simple")
    monkeypatch.setenv("UV_INDEX_STRATEGY", "first-index")
    environment = environment_of(OWN_UV)
    assert "UV_DEFAULT_INDEX" not in environment
    assert environment["UV_INDEX_STRATEGY"] == "first-index"


def test_uv_does_without_a_cache_where_none_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UV_CACHE_DIR", "UV_NO_CACHE", "XDG_CACHE_HOME", "PIP_NO_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", os.devnull)  # not even root can make a folder in it
    assert environment_of(OWN_UV)["UV_NO_CACHE"] == "1"


def test_a_uv_that_is_too_old_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "uv"
    old.write_text("#!/bin/sh\nexit 2\n")  # as with a version that tool.uv does not allow
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_uv() == OWN_UV
    old.write_text("#!/bin/sh\necho /tmp\n")
    assert find_uv() == old
