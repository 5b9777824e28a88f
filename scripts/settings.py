"""Writes `.env.example` and docs/settings.md from the settings: python -m scripts.settings"""

import ast
import inspect
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from app.config import MODE_DEFAULTS, Mode, Settings

ROOT = Path(__file__).parent.parent
# The title of a group, and the first setting in it.
GROUPS = {
    "config_mode": "Mode",
    "development_database_url": "Database",
    "host": "Server",
    "rate_limit": "Limits and proxies",
    "auth_mode": "Credentials",
    "email_deliverability": "Email addresses",
    "log_level": "Logs",
    "otel_exporter_otlp_endpoint": "Traces",
}
EXAMPLE_HEAD = """\
# Copy this file to .env and change what you need. Variables of the environment win over the file.
# An empty value means the default. Where the default depends on the mode, the comment lists it.
# Database URLs look like postgresql://user:password@host:5432/name. A secret, such as DATABASE_URL,
# may come from a file instead: DATABASE_URL_FILE=/run/secrets/database_url.
#
# Without CONFIG_MODE Satchel runs in development mode, on the loopback address only, with the
# embedded PostgreSQL. Staging and production do not start without the URL of their database.
# This file is written by `make settings`.
"""
TABLE_HEAD = """\
# Settings

Settings come from the environment or from a `.env` file, as in [.env.example](../.env.example). The
environment wins. An empty value means the default. Satchel does not start with a wrong value: the
error names the variable and never shows its value. A secret, such as `DATABASE_URL`, may come from
a file instead: `DATABASE_URL_FILE=/run/secrets/database_url`.

This page is written by `make settings` from `app/config/settings.py`.
"""


def read_descriptions() -> dict[str, str]:
    """The description of each setting: the text below its field."""
    (settings,) = ast.parse(inspect.getsource(Settings)).body
    assert isinstance(settings, ast.ClassDef)
    return {
        field.target.id: text.value.value
        for field, text in pairwise(settings.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(text.value.value, str)
    }


DESCRIPTIONS = read_descriptions()


def write(value: Any) -> str:
    """A default as the environment would hold it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value in (None, ()) else str(value)


def defaults_by_mode(name: str) -> str:
    """The defaults of a setting that depends on the mode; empty for other settings."""
    modes: dict[str, list[str]] = {}
    for mode, defaults in MODE_DEFAULTS.items():
        if name in defaults:
            modes.setdefault(write(defaults[name]), []).append(mode)
    return "; ".join(f"{', '.join(names)}: {value}" for value, names in modes.items())


def default_of(name: str, field: FieldInfo) -> str:
    """The default; empty where there is none or where it depends on the mode."""
    return "" if name in MODE_DEFAULTS[Mode.production] else write(field.default)


def example() -> str:
    lines = [EXAMPLE_HEAD.rstrip()]
    for name, field in Settings.model_fields.items():
        if name in GROUPS:
            lines += ["", f"# --- {GROUPS[name]} ---"]
        modes = defaults_by_mode(name)
        lines.append(f"# {DESCRIPTIONS[name]} ({modes})" if modes else f"# {DESCRIPTIONS[name]}")
        lines.append(f"{name.upper()}={default_of(name, field)}")
    return "\n".join(lines) + "\n"


def table() -> str:
    lines = [TABLE_HEAD.rstrip()]
    for name, field in Settings.model_fields.items():
        if name in GROUPS:
            lines += ["", f"## {GROUPS[name]}", ""]
            lines += ["| variable | default | meaning |", "| --- | --- | --- |"]
        default = f"`{value}`" if (value := default_of(name, field)) else defaults_by_mode(name)
        lines.append(f"| `{name.upper()}` | {default} | {DESCRIPTIONS[name]} |")
    return "\n".join(lines) + "\n"


FILES = {ROOT / ".env.example": example, ROOT / "docs" / "settings.md": table}

if __name__ == "__main__":
    for path, content in FILES.items():
        path.write_text(content())
