"""Secrets from files: a variable X may be given as X_FILE, the path of a file that holds it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic_settings import BaseSettings, EnvSettingsSource


class SecretFileError(Exception):
    """A file cannot be used; a line for each, with the variable and never with its value."""


class SecretFiles(EnvSettingsSource):
    """What the environment or a `.env` file (`given`) says of files, as if it said their content.

    For each field whose type holds a SecretStr. Errors: SecretFileError.
    """

    def __init__(self, settings_class: type[BaseSettings], given: EnvSettingsSource) -> None:
        self._given = given.env_vars
        super().__init__(settings_class)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        found: dict[str, str | None] = {}
        faults: list[str] = []
        for name, field in self.settings_cls.model_fields.items():
            path = self._given.get(f"{name}_file")
            if not path or not is_secret(field.annotation):
                continue
            if self._given.get(name):
                faults.append(f"{name.upper()} and {name.upper()}_FILE are both set: keep one")
                continue
            try:
                found[name] = _read(path)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or "it holds no text"
                faults.append(f"{name.upper()}_FILE: the file cannot be read: {reason}")
        if faults:
            raise SecretFileError("\n".join(faults))
        return found


def _read(path: str) -> str:
    """The text of a file without the newline at its end. Errors: OSError, ValueError."""
    text = Path(path).read_text().rstrip("\r\n")
    if not text:
        raise ValueError(path)
    return text


def is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(is_secret, get_args(annotation)))
