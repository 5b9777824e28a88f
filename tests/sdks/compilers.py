"""What looks at a generated SDK, at the guide's example and at the program that uses it.

Generated code stays as it is. What it needs comes from Debian, npm, PyPI or from the generator.
"""

import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.clients.conftest import run_tool
from tests.programs import find_file, find_package, find_program

HERE = Path(__file__).parent
STRICT = ("--strict", "--noEmitOnError", "--skipLibCheck")
COMMON_JS = ("--target", "es2022", "--module", "nodenext", "--types", "node")


class Tools(NamedTuple):
    npm: Path  # the folder of its programs
    python: Path
    generator_jar: Path
    cache: Path


def go_environment(home: Path, tools: Tools) -> dict[str, str]:
    """Packages are looked for in folders, since there may be no proxy to fetch modules from."""
    root = find_file("/usr/share/gocode/src/gopkg.in/validator.v2", "golang-gopkg-validator.v2-dev")
    path = home / "path"
    (path / "src").mkdir(parents=True, exist_ok=True)
    if not (path / "src" / "satchel").exists():
        (path / "src" / "satchel").symlink_to(home / "satchel")
    found = {"GOPATH": f"{path}:{root.parents[2]}", "GOCACHE": str(tools.cache / "go")}
    return {**found, "GO111MODULE": "off", "GOFLAGS": "", "CGO_ENABLED": "0"}


def vet_go(home: Path, tools: Tools) -> None:
    go = find_program("go", "golang-go")
    environment = go_environment(home, tools)
    run_tool(go, "vet", "satchel", cwd=home, seconds=300, **environment)
    for program in home.glob("*.go"):
        run_tool(go, "vet", program, cwd=home, seconds=300, **environment)


def compile_typescript(home: Path, tools: Tools) -> None:
    modules = home / "node_modules"
    if not modules.exists():
        modules.symlink_to(tools.npm.parent)
    sources = [home / "satchel" / "index.ts", *home.glob("*.ts")]
    options = [*STRICT, *COMMON_JS, "--rootDir", ".", "--outDir", "out"]
    existing = [path for path in sources if path.exists()]
    run_tool(tools.npm / "tsc", *options, *existing, cwd=home, seconds=300)


def check_python(home: Path, tools: Tools) -> None:
    cache = ["--cache-dir", tools.cache / "mypy"]
    mypy = [sys.executable, "-m", "mypy", "--python-executable", tools.python, *cache]
    run_tool(*mypy, "satchel/satchel", "example.py", cwd=home, seconds=300, MYPYPATH="satchel")


def compile_java(home: Path, tools: Tools) -> None:
    """Its JsonNullable is in none of these places; a stand-in has the same methods."""
    javac = find_program("javac", "default-jdk-headless")
    package = "libjakarta-annotation-api-java"
    annotations = find_file("/usr/share/java/jakarta-annotation-api.jar", package)
    sources = [*home.glob("satchel/src/main/**/*.java"), *home.glob("*.java")]
    sources += (HERE / "stand_ins").glob("*.java")
    path = f"{tools.generator_jar}:{annotations}"
    options = ["-proc:none", "-implicit:none", "-nowarn", "-d", "classes", "-classpath", path]
    run_tool(javac, *options, *sources, cwd=home, seconds=300)


def check_ruby(home: Path, tools: Tools) -> None:
    ruby = find_program("ruby", "ruby")
    _look_at_each(home.rglob("*.rb"), ruby, "-wc")


def check_php(home: Path, tools: Tools) -> None:
    _look_at_each(home.rglob("*.php"), find_program("php", "php-cli"), "--syntax-check")


def _look_at_each(paths: Iterable[Path], *command: str) -> None:
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda path: run_tool(*command, path, cwd=path.parent), paths))


def find_typhoeus() -> str:
    """Ruby, with the library that the SDK sends its requests by."""
    ruby = find_program("ruby", "ruby")
    asked = [ruby, "-e", "require 'typhoeus'"]
    done = subprocess.run(asked, capture_output=True, timeout=60, check=False)
    return find_package(None if done.returncode else ruby, "typhoeus", "ruby-typhoeus")


# By the title of the SDK. Kotlin and Rust have no compiler here that knows their libraries.
COMPILERS: dict[str, Callable[[Path, Tools], None]] = {
    "Go": vet_go,
    "Ruby": check_ruby,
    "TypeScript (hey-api)": compile_typescript,
    "TypeScript (orval)": compile_typescript,
    "TypeScript (fetch)": compile_typescript,
    "TypeScript (axios)": compile_typescript,
    "Python": check_python,
    "Java": compile_java,
    "PHP": check_php,
}
