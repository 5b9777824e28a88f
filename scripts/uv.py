"""The uv that installs and locks, and what it has to know to fetch from where pip would."""

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OWN_UV = Path(sysconfig.get_path("scripts")) / "uv"
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
# A lock names everything by its hash: nothing is looked up besides. With its dependencies a pip
# before 23.3 asks for `name[extra]`, and takes the newest release of that for a new requirement.
FROM_LOCK = ("install", "--quiet", "--no-deps", "--require-hashes")


def run(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )


class NoUv(Exception):
    """There is no uv for this machine, or the index cannot be asked. Its text is pip's reason."""


def find_uv() -> Path:
    """The uv on the PATH, or this environment's; one is fetched where neither is new enough."""
    on_path = shutil.which("uv")
    for uv in ([Path(on_path)] if on_path else []) + [OWN_UV]:
        if uv.exists() and fits(uv):
            return uv
    return fetch_uv()


def fits(uv: Path) -> bool:
    """Whether it runs, and has a version that pyproject.toml (`tool.uv`) allows."""
    return run([uv, "cache", "dir"]).returncode == 0


def fetch_uv() -> Path:
    """The uv that is locked, in this environment. Errors: NoUv."""
    wheels_alone = ("--only-binary", ":all:")  # to build it takes a Rust compiler and minutes
    fetched = run([*PIP, *FROM_LOCK, *wheels_alone, "-r", "requirements/installer.lock"])
    if fetched.returncode:
        errors = [line for line in fetched.stderr.splitlines() if line.startswith("ERROR")]
        raise NoUv(errors[0] if errors else "pip does not say why")
    return OWN_UV


def environment_of(uv: Path, *, of_this_machine: bool = True) -> dict[str, str]:
    """Our environment, with what pip is told in uv's words; what uv itself is told stays.

    Without `of_this_machine` the additional indexes and folders are left out.
    """
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    told = pip_settings()

    def hand_on(option: str, *names: str, separator: str = " ") -> None:
        if option in told and not any(name in environment for name in names):
            environment[names[0]] = separator.join(told[option])

    hand_on("index-url", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
    if of_this_machine:
        hand_on("extra-index-url", "UV_INDEX", "UV_EXTRA_INDEX_URL")
        hand_on("find-links", "UV_FIND_LINKS", separator=",")
        hand_on("no-index", "UV_OFFLINE")
    hand_on("trusted-host", "UV_INSECURE_HOST")
    hand_on("timeout", "UV_HTTP_TIMEOUT")
    hand_on("proxy", "ALL_PROXY")
    hand_on("cert", "SSL_CERT_FILE")
    hand_on("client-cert", "SSL_CLIENT_CERT")
    hand_on("no-cache-dir", "UV_NO_CACHE")
    # As pip does: the best of all indexes, not of the first that knows the name; and the
    # certificates of the system.
    environment.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    environment.setdefault("UV_SYSTEM_CERTS", "1")
    if not can_write(Path(run([uv, "cache", "dir"], environment).stdout.strip())):
        environment["UV_NO_CACHE"] = "1"
    return environment


def pip_settings() -> dict[str, list[str]]:
    """What files and variables set for `pip install`; a stronger section replaces a weaker one."""
    spoken = {**os.environ, "PIP_QUIET": "0", "PIP_VERBOSE": "0"}
    sections: dict[str, dict[str, list[str]]] = {"global": {}, "install": {}, ":env:": {}}
    for line in run([*PIP, "config", "list"], spoken).stdout.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.rpartition(".")
        if section in sections and (words := ast.literal_eval(value).split()):
            option = option.removeprefix("default-")  # both timeout and default-timeout
            sections[section][option] = [os.path.expanduser(word) for word in words]
    return {**sections["global"], **sections["install"], **sections[":env:"]}


def can_write(folder: Path) -> bool:
    """Whether the folder, which need not be there yet, can be written by this user."""
    while not os.path.exists(folder):  # Path.exists() fails below a folder that is closed to us
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)
