"""README.md: what it tells to type works, in that order, and what it says is so."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.core import TyperGroup
from typer.main import get_command

from app.cli.commands import app as command
from tests.programs import find_program
from tests.pythons import note_on_python, supported_pythons
from tests.servers import free_port

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "README.md").read_text()
SECONDS = 240  # then what hangs is given up
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# As at a terminal, without the files of whoever runs the test.
SHELLS = {"bash": ["--norc", "--noprofile", "-i"], "dash": ["-i"], "zsh": ["-f", "-i"]}


def section(title: str) -> str:
    text = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    assert text, title
    return text


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@contextlib.contextmanager
def make_checkout(folder: Path) -> Iterator[Path]:
    """The tree as it is once installed: without data, and without anybody's `.env`."""
    folder.mkdir()
    for path in ROOT.iterdir():
        if path.name not in {".env", ".data", ".venv"}:
            (folder / path.name).symlink_to(path)
    environment = folder / ".venv"
    environment.mkdir()
    (environment / "bin").symlink_to(Path(sys.executable).parent)
    for stamp in ("made", "run"):
        (environment / stamp).touch()
    yield folder
    shutil.rmtree(folder)


@contextlib.contextmanager
def serving(checkout: Path, line: str, **variables: str) -> Iterator[int]:
    """The port of the server that the line starts, until Ctrl-C."""
    find_program("make", "make")
    port, log = free_port(), checkout / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["sh", "-c", line],
            cwd=checkout,
            env={**os.environ, **variables, "PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        for _ in range(SECONDS * 10):
            if f"Satchel serves on http://127.0.0.1:{port}/docs" in log.read_text():
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        assert httpx.get(f"http://127.0.0.1:{port}/docs", timeout=SECONDS).status_code == 200
        yield port
    finally:
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C
        process.wait(SECONDS)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def served(server_home: Path) -> Iterator[int]:
    """The port of the server that section "Run it" tells to start, until Ctrl-C."""
    [line] = blocks("sh", section("Run it"))
    with make_checkout(server_home / "checkout") as checkout:
        with serving(checkout, line) as port:
            yield port
        assert (checkout / ".data").is_dir()


@pytest.mark.slow
def test_demo_data_is_served_and_stays_whatever_database_is_configured(server_home: Path) -> None:
    other = {"CONFIG_MODE": "testing", "TEST_DATABASE_URL": f"postgresql://localhost:{free_port()}"}
    seen = []
    with make_checkout(server_home / "demo") as checkout:
        (checkout / ".env").write_text(
            "".join(f"{name}={value}\n" for name, value in other.items())
        )
        for _ in range(2):
            with serving(checkout, "make demo", **other) as port:
                lists = [f"http://127.0.0.1:{port}/{name}" for name in ("accounts", "items")]
                seen.append([httpx.get(f"{each}?count=exact").json() for each in lists])
        assert [path.name for path in (checkout / ".data").iterdir()] == ["demo"]
    assert seen[0] == seen[1]
    for page, count in zip(seen[0], ("10,000 accounts", "50,000 items"), strict=True):
        assert f"{page['count']:,} " in f"{count} "
        assert count in " ".join(section("Run it").split())


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_its_requests_do_what_it_says_in_each_shell(
    served: int, shell: str, tmp_path: Path
) -> None:
    program = find_program(shell, shell)
    find_program("curl", "curl")
    # What is typed stays as it is: curl's own settings lead to the server, and tell what came.
    (tmp_path / ".curlrc").write_text(
        f'connect-to = "localhost:8000:127.0.0.1:{served}"\n'
        r'write-out = "%{stderr}\n%{method} %{url} %{http_code}\n%{stdout}\n"'
    )
    typed = "".join(blocks("sh", section("Use it")))

    done = subprocess.run(
        [program, *SHELLS[shell]],
        input=typed,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PS1": "", "PS2": "", "PS4": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    requests = re.findall(r"^([A-Z]+) (\S+) (\d+)$", done.stderr, re.MULTILINE)
    told = [f"{method} {UUID.sub('$', url)} {status}" for method, url, status in requests]
    account, item = "localhost:8000/accounts/$", "localhost:8000/items/$"
    assert told == [
        "POST localhost:8000/accounts 201",
        "GET localhost:8000/accounts 200",
        f"GET {account} 200",
        f"PUT {account} 200",
        f"DELETE {account} 204",
        "POST localhost:8000/accounts 201",
        f"PATCH {account} 200",
        "POST localhost:8000/items 201",
        "GET localhost:8000/items?q=brass+lamp&price_lte=20&sort=-price&limit=10&count=exact 200",
        f"PUT {account}/favorite 201",
        f"PUT {account}/reservation 201",
        f"PUT {account}/wishes/$ 201",
        f"GET {item}/wished-by 200",
        f"DELETE {account}?cascade=true 204",
        "POST localhost:8000/accounts:batchCreate?validate_only=true 200",
    ], done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
    [accounts, ada, lovelace, robert, items, favorite, reserved, wish, wishers, batch] = answers
    assert accounts["data"] == [ada]
    assert (ada["email"], ada["username"], ada["country"]) == ("ada@example.com", "ada", "JO")
    assert lovelace["username"] == "lovelace"
    assert robert["username"] == "robert"
    [lamp] = items["data"]
    assert (lamp["name"], lamp["account_id"], items["count"]) == ("Brass lamp", robert["id"], 1)
    assert favorite["item"] == reserved["item"] == wish["item"] == lamp
    assert [(one["account"], one["note"]) for one in wishers["data"]] == [(robert, wish["note"])]
    assert [one["username"] for one in batch["data"]] == ["eve", "dan"]


def test_what_is_pasted_holds_no_comment() -> None:
    """In zsh at a terminal, a comment is more arguments."""
    for block in blocks("sh", PAGE):
        assert "#" not in block


async def test_its_problem_is_what_a_client_gets(client: httpx.AsyncClient) -> None:
    [shown] = blocks("json", section("Use it"))
    answer = await client.post("/accounts", json={"email": "ada@example.com"})
    expected: dict[str, Any] = json.loads(shown)
    assert re.fullmatch("[0-9a-f]{16}", expected.pop("request_id"))
    told = answer.json()
    assert re.fullmatch("[0-9a-f]{16}", told.pop("request_id"))
    assert told == expected


def test_its_targets_of_make_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):.* ## ", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", PAGE, re.MULTILINE))
    assert {"run", "test", "help", "bench"} <= named
    assert named <= targets


def test_it_names_each_command() -> None:
    group = get_command(command)
    assert isinstance(group, TyperGroup)
    visible = {name for name, one in group.commands.items() if not one.hidden}
    [sentence] = re.findall(
        r"The commands (.*?)\sexplain themselves", section("Settings"), re.DOTALL
    )
    assert set(re.findall(r"`(\w+)`", sentence)) == visible


def test_its_layout_is_that_of_the_tree() -> None:
    [layout] = blocks("", section("Layout"))
    named = set()
    for line in layout.splitlines():
        names = re.split(" {3,}", line.strip())[0]
        for name in re.findall(r"[a-z/]+(?:/|\.py)", names):
            path = (ROOT / "app" if line.startswith(" ") else ROOT) / name
            assert path.exists(), name
            named.add(path)
    assert {path.parent for path in ROOT.glob("app/*/__init__.py")} <= named


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https:)([^)#]+)\)", PAGE):
        assert (ROOT / target).exists(), target


def test_its_figures_are_those_of_the_benchmark() -> None:
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text())
    cost = " ".join(section("What it costs").split())
    assert re.findall(r"\d{4}-\d\d-\d\d", cost) == [results["date"][:10]]
    cells = {
        (cell["contestant"], cell["operation"]): cell
        for cell in results["cells"]
        if (cell["connections"], cell["workers"]) == (32, 1)
    }

    def ratios(figure: str, above: str, below: str) -> list[float]:
        return [
            cells[above, operation][figure] / cells[below, operation][figure]
            for operation in ("get", "list", "create", "change")
        ]

    def extremes(ratios: list[float]) -> tuple[int, int]:
        return round(min(ratios)), round(max(ratios))

    assert "an eighth to a sixteenth of the tutorial's CPU" in cost
    assert extremes(ratios("server_us", "flask_tutorial", "satchel")) == (8, 16)
    assert "a sixth to a tenth of the CPU of the usual FastAPI port" in cost
    assert extremes(ratios("server_us", "fastapi_usual", "satchel")) == (6, 10)
    get, page, *writes = ratios("requests_per_second", "satchel", "fastify")
    assert "at least as many reads a second as bare Fastify on Node, and three quarters or" in cost
    assert min(get, page) >= 1
    assert min(writes) >= 0.75
    assert "more of both than Fastify with the same promises" in cost
    assert min(ratios("requests_per_second", "satchel", "fastify_promises")) > 1.1


def test_its_pythons_are_those_that_are_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pythons = supported_pythons()
    assert pythons == [(3, 11), (3, 12), (3, 13), (3, 14)]
    names = [f"{major}.{minor}" for major, minor in pythons]
    assert project["requires-python"] == f">={names[0]}"
    assert f"Python {', '.join(names[:-1])} and {names[-1]} are supported" in PAGE
    for page in (PAGE, (ROOT / "CONTRIBUTING.md").read_text()):
        assert f"Python {names[0]} or newer and make are" in page


def test_a_run_on_another_python_says_so() -> None:
    assert (note_on_python((3, 11)), note_on_python((3, 14))) == (None, None)
    line = note_on_python((3, 15))
    assert line == "Satchel is tested on Python 3.11, 3.12, 3.13, 3.14; this is 3.15"
