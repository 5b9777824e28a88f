"""Reads secrets from files: X_FILE names the file that holds the variable X."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic_settings import BaseSettings, EnvSettingsSource


class SecretFileError(Exception):
    """Files cannot be used. The message has a line for each variable and shows no value."""


class SecretFiles(EnvSettingsSource):
    """The content of the files that the environment or a `.env` file (`given`) names.

    Only fields with a SecretStr may come from a file, and those of `overridden` do not. Errors:
    SecretFileError.
    """

    def __init__(
        self,
        settings_class: type[BaseSettings],
        given: EnvSettingsSource,
        overridden: Collection[str] = (),
    ) -> None:
        self._given = given.env_vars
        self._overridden = overridden
        super().__init__(settings_class)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        found: dict[str, str | None] = {}
        faults: list[str] = []
        for name, field in self.settings_cls.model_fields.items():
            path = self._given.get(f"{name}_file")
            if not path or not is_secret(field.annotation) or name in self._overridden:
                continue
            if self._given.get(name):
                faults.append(f"{name.upper()} and {name.upper()}_FILE are both set: unset one")
                continue
            try:
                found[name] = _read(path)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or "it is empty or not UTF-8"
                faults.append(f"{name.upper()}_FILE: the file cannot be read: {reason}")
        if faults:
            raise SecretFileError("\n".join(faults))
        return found


def _read(path: str) -> str:
    """The text of a file without the newlines at its end. Errors: OSError, ValueError."""
    text = Path(path).read_text().rstrip("\r\n")
    if not text:
        raise ValueError(path)
    return text


def is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(is_secret, get_args(annotation)))
