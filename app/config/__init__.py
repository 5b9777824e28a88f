"""Settings: the four modes and every variable, typed, documented, refused at boot when wrong."""

import ipaddress
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.config.secret_files import SecretFileError, SecretFiles


class ConfigurationError(Exception):
    """The settings do not let Satchel start; the message names each variable and its mend."""


class Mode(StrEnum):
    development = "development"
    testing = "testing"
    staging = "staging"
    production = "production"


# What a mode means where a variable is not set.
_DEPLOYED: dict[str, Any] = {
    "log_format": "json",
    "log_level": "info",
    "debug": False,
    "docs_enabled": False,
    "migrate_on_start": False,
    "email_deliverability": True,
    "auth_mode": "on",
    "shutdown_delay": 5.0,
}
MODE_DEFAULTS: dict[Mode, dict[str, Any]] = {
    Mode.development: {
        "log_format": "console",
        "log_level": "info",
        "debug": True,
        "docs_enabled": True,
        "migrate_on_start": True,
        "email_deliverability": False,
        "auth_mode": "off",
        "shutdown_delay": 0.0,
    },
    Mode.testing: {
        "log_format": "json",
        "log_level": "warning",
        "debug": False,
        "docs_enabled": True,
        "migrate_on_start": True,
        "email_deliverability": False,
        "auth_mode": "off",
        "shutdown_delay": 0.0,
    },
    Mode.staging: {**_DEPLOYED, "docs_enabled": True},
    Mode.production: _DEPLOYED,
}

_URL_OF_MODE = {
    Mode.development: "development_database_url",
    Mode.testing: "test_database_url",
    Mode.staging: "staging_database_url",
    Mode.production: "production_database_url",
}
_URL_FIELDS = (*_URL_OF_MODE.values(), "database_url")
# psycopg's names for what asyncpg calls otherwise, so that URLs of platforms and tutorials work.
_RENAMED_OPTIONS = {"sslmode": "ssl"}
# What the driver takes, and in which form.
_URL_OPTIONS = {
    "host": ".+",
    "port": r"\d{1,5}",
    "ssl": "disable|allow|prefer|require|verify-ca|verify-full",
    "target_session_attrs": "any|primary|standby|read-write|read-only|prefer-standby",
    "prepared_statement_cache_size": r"\d+",
}
_DRIVERS = {
    "postgres",
    "postgresql",
    "postgresql+asyncpg",
    "postgresql+psycopg2",
    "postgresql+psycopg",
}


def parse_database_url(text: str) -> URL:
    """An asyncpg URL from any of the usual PostgreSQL ones.

    Errors: ValueError, whose message never holds the URL (it may hold a password).
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError("is not a URL like postgresql://user:password@host:5432/name") from None
    if url.drivername not in _DRIVERS:
        raise ValueError(
            "must begin with postgresql://, postgresql+asyncpg:// or postgresql+psycopg2://"
        )
    if not url.database:
        raise ValueError("must end with the name of a database, as in postgresql://host/name")
    if "@" in f"{url.host}{url.database}":  # a piece of the password, to be shown by any error
        raise ValueError("has an @ too many: one in a password is written %40")
    if url.port is not None and not 1 <= url.port <= 65535:
        raise ValueError("has a port that is not in 1 to 65535")
    options = {}
    for name, value in url.query.items():
        option = _RENAMED_OPTIONS.get(name, name)
        if option not in _URL_OPTIONS:
            raise ValueError(f"has the option {name}, which the driver does not know")
        values = [value] if isinstance(value, str) else value
        if not all(re.fullmatch(_URL_OPTIONS[option], each) for each in values):
            raise ValueError(f"has a value of {name} that the driver does not know")
        options[option] = value
    return url.set(drivername="postgresql+asyncpg", query=options)


def _check_url(value: SecretStr) -> SecretStr:
    parse_database_url(value.get_secret_value())
    return value


DatabaseURL = Annotated[SecretStr, AfterValidator(_check_url)]


_RATE_LIMIT: Final = re.compile(
    r"\s*([1-9][0-9]{0,8})\s*(?:/|per)\s*([1-9][0-9]{0,8})?\s*(second|minute|hour|day)s?\s*",
    re.IGNORECASE,
)
_UNITS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


def parse_rate_limit(text: str) -> tuple[int, int]:
    """The requests and the seconds of a text such as 100/minute. Errors: ValueError."""
    match = _RATE_LIMIT.fullmatch(text)
    if match is None:
        raise ValueError("must be a number of requests per time, such as 100/minute or 20/10second")
    requests, number, unit = match.groups()
    return int(requests), int(number or 1) * _UNITS[unit.lower()]


def _check_rate_limit(text: str) -> str:
    parse_rate_limit(text)
    return text


def _split(value: object) -> object:
    """The members of a list that is written with commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


# As a browser writes one: no path, no default port, no capital letters.
_ORIGIN = re.compile(r"(?!http://.*:80$|https://.*:443$)https?://[a-z0-9.\-_\[\]:]+")


def _check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in origins and len(origins) > 1:
        raise ValueError("is either * or a list of origins")
    if not all(origin == "*" or _ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError("must be origins as browsers send them, such as https://app.example.com")
    return origins


def _check_networks(networks: tuple[str, ...]) -> tuple[str, ...]:
    try:
        for network in networks:
            ipaddress.ip_network(network)
    except ValueError:
        raise ValueError("must be addresses or networks, such as 10.0.0.0/8") from None
    return networks


# Those that sign with a private key. With others, whoever can verify could sign.
JWT_ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512"),
    "Ed25519",
)


def _check_algorithms(value: str) -> str:
    names = value.split(",")
    if not set(names) <= set(JWT_ALGORITHMS):
        raise ValueError(f"must be some of {','.join(sorted(JWT_ALGORITHMS))}, separated by commas")
    return value


def _check_jwks_url(value: str) -> str:
    url = urlsplit(value)
    plain = url.scheme == "http" and is_loopback(url.hostname or "")
    if not url.hostname or not (url.scheme == "https" or plain):
        raise ValueError("must be an https:// URL: who can alter the keys can sign tokens")
    if url.username is not None or url.fragment:
        raise ValueError("must hold no user, password or fragment")
    return value


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


JWKSURL = Annotated[str, AfterValidator(_check_jwks_url)]


class Settings(BaseSettings):
    """All settings, from the environment and a `.env` file; the environment wins.

    Of each secret X, X_FILE may name a file that holds it.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    config_mode: Annotated[
        Mode | None, Field(description="development, testing, staging or production")
    ] = None

    development_database_url: Annotated[
        DatabaseURL | None,
        Field(description="URL of development's database; unset: embedded"),
    ] = None
    test_database_url: Annotated[
        DatabaseURL | None, Field(description="URL of testing's database; unset: embedded")
    ] = None
    staging_database_url: Annotated[
        DatabaseURL | None, Field(description="URL of staging's database")
    ] = None
    production_database_url: Annotated[
        DatabaseURL | None, Field(description="URL of production's database")
    ] = None
    database_url: Annotated[
        DatabaseURL | None,
        Field(description="URL for staging and production, where their own is not set"),
    ] = None
    pool_size: Annotated[
        int, Field(ge=1, le=1000, description="Database connections per worker")
    ] = 10
    statement_timeout: Annotated[
        float,
        Field(ge=0, le=3600, description="Seconds for a statement; 0: as the database has it"),
    ] = 5.0
    lock_timeout: Annotated[
        float,
        Field(ge=0, le=3600, description="Seconds to wait for a lock; 0: as the database has it"),
    ] = 2.0
    idle_in_transaction_timeout: Annotated[
        float,
        Field(
            ge=0,
            le=3600,
            description="Seconds between a transaction's statements; 0: as the database has it",
        ),
    ] = 10.0
    migrate_on_start: Annotated[bool, Field(description="Migrate the schema before serving")]
    embedded_data_dir: Annotated[
        Path, Field(description="Where the embedded PostgreSQL keeps its data")
    ] = Path(".data")
    pg_bindir: Annotated[
        Path | None, Field(description="Folder of initdb and postgres, instead of the wheel's")
    ] = None

    host: Annotated[str, Field(min_length=1, description="Address to serve on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to serve on; 0: any free one")] = (
        8000
    )
    workers: Annotated[int, Field(ge=1, le=256, description="Worker processes")] = 1
    max_body_size: Annotated[int, Field(ge=1024, description="Largest request body in bytes")] = (
        1_048_576
    )
    require_if_match: Annotated[bool, Field(description="Refuse writes without If-Match (428)")] = (
        False
    )
    shutdown_delay: Annotated[
        float,
        Field(ge=0, le=300, description="Seconds to serve on, not ready, once told to leave"),
    ]
    shutdown_grace: Annotated[
        int,
        Field(ge=1, le=300, description="Seconds that requests under way then have to be answered"),
    ] = 10
    docs_enabled: Annotated[bool, Field(description="Serve /docs and /redoc")]

    rate_limit: Annotated[
        Annotated[str, AfterValidator(_check_rate_limit)] | None,
        Field(description="Requests per client and worker, such as 100/minute; unset: no limit"),
    ] = None
    max_concurrent_requests: Annotated[
        int,
        Field(ge=1, description="Requests under way per worker; more get 503 at once"),
    ] = 500
    max_connections: Annotated[
        int, Field(ge=1, description="Connections per worker; below its limit of open files")
    ] = 900
    head_timeout: Annotated[
        float, Field(gt=0, le=3600, description="Seconds for the head of a request to arrive")
    ] = 10.0
    body_timeout: Annotated[
        float, Field(gt=0, le=3600, description="Seconds for a body to arrive, or to be taken")
    ] = 30.0
    keep_alive_timeout: Annotated[
        int, Field(ge=1, le=3600, description="Seconds of an idle connection; a proxy's plus some")
    ] = 5
    trusted_proxies: Annotated[
        tuple[str, ...],
        NoDecode,
        BeforeValidator(_split),
        AfterValidator(_check_networks),
        Field(description="Addresses or networks, with commas, whose X-Forwarded-* is believed"),
    ] = ()
    cors_origins: Annotated[
        tuple[str, ...],
        NoDecode,
        BeforeValidator(_split),
        AfterValidator(_check_origins),
        Field(description="Origins, with commas, whose pages may call; or * for all"),
    ] = ()
    hsts_max_age: Annotated[
        int,
        Field(ge=0, description="Seconds of Strict-Transport-Security where it is https; 0: never"),
    ] = 0

    auth_mode: Annotated[
        Literal["off", "on"], Field(description="Whether requests need credentials: off or on")
    ]
    jwt_issuer: Annotated[
        str | None, Field(description="Issuer (iss) whose JWTs are taken; unset: API keys alone")
    ] = None
    jwt_audience: Annotated[
        str | None, Field(description="Audience (aud) that JWTs must be meant for")
    ] = None
    jwt_jwks_url: Annotated[
        JWKSURL | None, Field(description="Where the issuer publishes its keys, as a JWK Set")
    ] = None
    jwt_key_file: Annotated[
        Path | None, Field(description="The issuer's public keys, as PEM or JWK Set, instead")
    ] = None
    jwt_algorithms: Annotated[
        str,
        AfterValidator(_check_algorithms),
        Field(description="Algorithms that JWTs may be signed with, separated by commas"),
    ] = "RS256"

    email_deliverability: Annotated[
        bool, Field(description="Ask the DNS whether an email's domain takes mail")
    ]
    email_dns_timeout: Annotated[
        float, Field(gt=0, le=30, description="Seconds to wait for the DNS; then the email passes")
    ] = 2.0

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Least level logged")
    ]
    log_format: Annotated[Literal["console", "json"], Field(description="console or json")]
    debug: Annotated[bool, Field(description="Log each SQL statement, without its values")]

    otel_exporter_otlp_endpoint: Annotated[
        str | None,
        Field(
            pattern=r"^https?://[^/]", description="Collector of traces (OTLP); unset: no traces"
        ),
    ] = None
    otel_exporter_otlp_protocol: Annotated[
        Literal["http/protobuf"], Field(description="How to speak to the collector: http/protobuf")
    ] = "http/protobuf"
    otel_sdk_disabled: Annotated[bool, Field(description="No traces, whatever else is set")] = False

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources = [init_settings]
        for source in (env_settings, dotenv_settings):
            assert isinstance(source, EnvSettingsSource)
            sources += [source, SecretFiles(settings_cls, source)]
        return (*sources, file_secret_settings)

    @model_validator(mode="before")
    @classmethod
    def _fill_mode_defaults(cls, values: Any) -> Any:
        try:
            mode = Mode(values.get("config_mode") or Mode.development)
        except ValueError:  # reported by the field itself
            mode = Mode.development
        return {**MODE_DEFAULTS[mode], **values}

    @model_validator(mode="after")
    def _mode_is_said_and_sure(self) -> Self:
        set_urls = [name.upper() for name in _URL_FIELDS if getattr(self, name) is not None]
        if self.config_mode is None:
            if set_urls:
                raise ValueError(f"{set_urls[0]} is set, so CONFIG_MODE must be said too")
            if not is_loopback(self.host):
                raise ValueError("HOST is not a loopback address, so CONFIG_MODE must be said too")
        if self.mode in (Mode.staging, Mode.production) and self.url is None:
            raise ValueError(f"{self.url_variable} (or DATABASE_URL) must name the database")
        return self

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> Self:
        if self.auth_mode == "off" and self.mode in (Mode.staging, Mode.production):
            raise ValueError(
                f"AUTH_MODE is off, which {self.mode} does not allow: remove it, or say on"
            )
        named = {
            name.upper(): getattr(self, name) is not None
            for name in ("jwt_issuer", "jwt_audience", "jwt_jwks_url", "jwt_key_file")
        }
        if not any(named.values()):
            return self
        if self.auth_mode == "off":
            first = next(name for name, is_set in named.items() if is_set)
            raise ValueError(f"{first} is set, but AUTH_MODE is off: say AUTH_MODE=on")
        if named["JWT_JWKS_URL"] == named["JWT_KEY_FILE"]:
            raise ValueError("JWTs need JWT_JWKS_URL or JWT_KEY_FILE: say one of them")
        for name in ("JWT_ISSUER", "JWT_AUDIENCE"):
            if not named[name]:
                raise ValueError(f"JWTs need {name} too")
        return self

    @property
    def mode(self) -> Mode:
        return self.config_mode or Mode.development

    @property
    def url_variable(self) -> str:
        """The variable that names this mode's database."""
        return _URL_OF_MODE[self.mode].upper()

    @property
    def url(self) -> URL | None:
        """The database of the mode; None: the embedded PostgreSQL."""
        secret: SecretStr | None = getattr(self, _URL_OF_MODE[self.mode])
        if secret is None and self.mode in (Mode.staging, Mode.production):
            secret = self.database_url
        return None if secret is None else parse_database_url(secret.get_secret_value())

    @property
    def traces_endpoint(self) -> str | None:
        """Where traces go; None: nowhere."""
        if self.otel_sdk_disabled or self.otel_exporter_otlp_endpoint is None:
            return None
        return f"{self.otel_exporter_otlp_endpoint.rstrip('/')}/v1/traces"


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process; `overrides` (by field name) win over the environment.

    Errors: ConfigurationError, a line for each fault, never with a value in it.
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
