"""The four modes, and what each means where a variable is not set."""

from enum import StrEnum
from typing import Any, Final


class Mode(StrEnum):
    development = "development"
    testing = "testing"
    staging = "staging"
    production = "production"


_LOCAL: Final[dict[str, Any]] = {
    "log_format": "console",
    "log_level": "info",
    "debug": True,
    "docs_enabled": True,
    "migrate_on_start": True,
    "email_deliverability": False,
    "auth_mode": "off",
    "shutdown_delay": 0.0,
}
_DEPLOYED: Final[dict[str, Any]] = {
    "log_format": "json",
    "log_level": "info",
    "debug": False,
    "docs_enabled": False,
    "migrate_on_start": False,
    "email_deliverability": True,
    "auth_mode": "on",
    "shutdown_delay": 5.0,
}
MODE_DEFAULTS: Final[dict[Mode, dict[str, Any]]] = {
    Mode.development: _LOCAL,
    Mode.testing: {**_LOCAL, "log_format": "json", "log_level": "warning", "debug": False},
    Mode.staging: {**_DEPLOYED, "docs_enabled": True},
    Mode.production: _DEPLOYED,
}
DEPLOYED_MODES: Final = (Mode.staging, Mode.production)
