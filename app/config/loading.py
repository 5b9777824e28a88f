"""Loads the settings, and reports all that is wrong with them in one error."""

from typing import Any

from pydantic import ValidationError

from app.config.secret_files import SecretFileError
from app.config.settings import Settings


class ConfigurationError(Exception):
    """The settings are wrong. The message has a line for each fault and shows no value."""


def load_settings(**overrides: Any) -> Settings:
    """Load the settings of this process; `overrides`, by field name, win over the environment.

    Errors: ConfigurationError.
    """
    try:
        return Settings(**overrides)
    except SecretFileError as error:
        raise ConfigurationError(str(error)) from None
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f".env cannot be read: {error}") from None
    except ValidationError as error:
        lines = []
        for fault in error.errors(include_url=False, include_input=False, include_context=False):
            name = "".join(f"{part}: " for part in fault["loc"][:1]).upper()
            lines.append(name + fault["msg"].removeprefix("Value error, "))
        raise ConfigurationError("\n".join(lines)) from None
