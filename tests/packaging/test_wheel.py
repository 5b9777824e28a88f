"""A wheel holds all that Satchel needs and nothing else, and runs far from any checkout."""

import contextlib
import re
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from sqlalchemy import URL

from app import __version__
from tests.clients.conftest import run_tool
from tests.databases import execute
from tests.packaging.conftest import ROOT, Checkout, Program, ask
from tests.servers import free_port
from tests.test_supply_chain import PIN

NAME = f"satchel-{__version__}"
UV = Path(sys.executable).with_name("uv")
OFFLINE = ("--offline", "--no-cache", "--no-config")


def test_nobody_is_told_to_install_a_package_of_that_name_from_the_index() -> None:
    ours = re.compile(r"satchel\[|install (?:\S+ )*['\"]?satchel\b")
    files = [ROOT / "Dockerfile", ROOT / "Makefile", *ROOT.glob("*.md")]
    for folder in ("app", "docs", "scripts"):
        files += [
            path for kind in ("py", "md", "sh") for path in (ROOT / folder).rglob(f"*.{kind}")
        ]
    assert len(files) > 100
    assert [path for path in files if ours.search(path.read_text())] == []


@pytest.fixture(scope="session")
def archives(littered: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the source archive and of the wheel that was built from that archive."""
    folder = tmp_path_factory.mktemp("dist")
    build = (UV, "build", *OFFLINE, "--no-build-isolation", "--python", sys.executable)
    run_tool(*build, "--out-dir", folder, cwd=littered.folder)
    return folder


@pytest.fixture(scope="session")
def installed(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and the packages of production.lock, and nothing else."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(home)}))
    pins = PIN.findall((ROOT / "requirements/production.lock").read_text())
    for name in {name for name, _ in pins}:
        with contextlib.suppress(PackageNotFoundError):  # not for this platform
            link(name, site)
    pip = (UV, "pip", "install", "--quiet", *OFFLINE, "--no-index", "--python", home)
    run_tool(*pip, *archives.glob("*.whl"))  # refused where a dependency is missing
    return home


def link(name: str, site: Path) -> None:
    """Let an installed distribution be installed in another environment as well."""
    found = distribution(name)
    for file in found.files or ():
        if ".." not in file.parts:
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            (site / file).symlink_to(str(found.locate_file(file)))


@pytest.fixture
async def empty_database(database: URL) -> URL:
    await execute(database, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    return database


@pytest.mark.slow
class TestArchives:
    def test_the_wheel_holds_the_package_with_its_migrations_and_nothing_else(
        self, archives: Path, littered: Checkout
    ) -> None:
        with zipfile.ZipFile(archives / f"{NAME}-py3-none-any.whl") as wheel:
            names = wheel.namelist()
        metadata = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
        assert len(names) == len(set(names))
        assert set(names) == {
            *(f"app/{name.removeprefix('app/')}" for name in littered.sources),
            *(f"{NAME}.dist-info/{name}" for name in metadata),
        }

    def test_the_source_archive_holds_what_the_wheel_is_made_of_and_nothing_else(
        self, archives: Path, littered: Checkout
    ) -> None:
        with tarfile.open(archives / f"{NAME}.tar.gz") as archive:
            names = [member.name for member in archive if member.isfile()]
        build = {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO", ".gitignore"}
        assert sorted(names) == sorted(f"{NAME}/{name}" for name in littered.sources | build)


@pytest.mark.slow
class TestInstalled:
    @pytest.fixture
    def environment(self, installed: Path, empty_database: URL) -> dict[str, str]:
        return {
            "PATH": str(installed / "bin"),
            "CONFIG_MODE": "production",
            "DOCS_ENABLED": "true",
            "PRODUCTION_DATABASE_URL": empty_database.render_as_string(hide_password=False),
        }

    @pytest.fixture
    def server(
        self, installed: Path, environment: dict[str, str], tmp_path: Path
    ) -> Iterator[Program]:
        """Not ready before the database is migrated."""
        port = free_port()
        command = (installed / "bin/satchel", "serve", "--port", port)
        server = Program(command, environment, port, tmp_path)
        yield server
        server.stop()

    def test_migrates_checks_makes_keys_and_serves(
        self, installed: Path, environment: dict[str, str], server: Program, tmp_path: Path
    ) -> None:
        def satchel(*arguments: str) -> tuple[int, str, str]:
            return ask((installed / "bin/satchel", *arguments), environment, tmp_path)

        where = (installed / "bin/python", "-c", "import app; print(app.__file__)")
        assert Path(ask(where, {}, tmp_path)[1]).is_relative_to(installed)
        status, output, errors = satchel("migrate")
        assert (status, output) == (0, "The schema is up to date.\n"), errors
        assert satchel("check")[0] == 0
        status, key, errors = satchel("keys", "create", "--name", "tests", "--scope", "read")
        assert status == 0, errors

        server.wait_until_ready()
        assert httpx.get(f"{server.url}/accounts").status_code == 401
        answer = httpx.get(
            f"{server.url}/accounts", headers={"Authorization": f"Bearer {key.strip()}"}
        )
        assert (answer.status_code, answer.json()["data"]) == (200, [])
        page = httpx.get(f"{server.url}/docs")
        script = re.search(r'src="([^"]+swagger-ui[^"]+\.js)"', page.text)
        assert script is not None
        assert httpx.get(urljoin(f"{server.url}/docs", script[1])).status_code == 200
        assert server.stop(seconds=120) == 0
