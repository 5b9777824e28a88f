"""Settings: the defaults of each mode, what is refused, and that no message shows a secret."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import URL

from app.config import (
    MODE_DEFAULTS,
    ConfigurationError,
    Mode,
    Settings,
    is_loopback,
    load_settings,
    parse_database_url,
    parse_rate_limit,
)
from scripts.settings import DESCRIPTIONS, FILES

# A file that is there.
CERTIFICATES = __file__
EXAMPLE = Path(__file__).parents[2] / ".env.example"
URL_VARIABLES = {
    Mode.development: "DEVELOPMENT_DATABASE_URL",
    Mode.testing: "TEST_DATABASE_URL",
    Mode.staging: "STAGING_DATABASE_URL",
    Mode.production: "PRODUCTION_DATABASE_URL",
}
ALL_URL_VARIABLES = [*URL_VARIABLES.values(), "DATABASE_URL"]
DEPLOYED = [Mode.staging, Mode.production]
LOCAL = [Mode.development, Mode.testing]
SECRET = "hunter2"
URL_TEXT = f"postgresql://me:{SECRET}@db.example.com/satchel"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, without a `.env`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def refusal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(monkeypatch, **environment)
    return str(caught.value)


def database_of(settings: Settings) -> str | None:
    return settings.url.database if settings.url is not None else None


class TestModes:
    @pytest.mark.parametrize("mode", LOCAL)
    def test_without_a_url_is_the_embedded_server(
        self, monkeypatch: pytest.MonkeyPatch, mode: Mode
    ) -> None:
        settings = load(monkeypatch, CONFIG_MODE=mode)
        assert settings.mode is mode
        assert settings.url is None

    @pytest.mark.parametrize("mode", DEPLOYED)
    def test_without_a_url_is_refused_where_deployed(
        self, monkeypatch: pytest.MonkeyPatch, mode: Mode
    ) -> None:
        message = refusal(monkeypatch, CONFIG_MODE=mode)
        assert message == f"{URL_VARIABLES[mode]} (or DATABASE_URL) must name the database"

    @pytest.mark.parametrize("mode", Mode)
    def test_takes_the_url_of_its_own_variable(
        self, monkeypatch: pytest.MonkeyPatch, mode: Mode
    ) -> None:
        urls = {name: f"postgresql://h/{name}" for name in ALL_URL_VARIABLES}
        settings = load(monkeypatch, CONFIG_MODE=mode, **urls)
        assert settings.url_variable == URL_VARIABLES[mode]
        assert database_of(settings) == URL_VARIABLES[mode]

    @pytest.mark.parametrize("mode", DEPLOYED)
    def test_falls_back_to_database_url_where_deployed(
        self, monkeypatch: pytest.MonkeyPatch, mode: Mode
    ) -> None:
        settings = load(monkeypatch, CONFIG_MODE=mode, DATABASE_URL="postgresql://h/fallback")
        assert database_of(settings) == "fallback"

    @pytest.mark.parametrize("mode", LOCAL)
    def test_never_touches_database_url_elsewhere(
        self, monkeypatch: pytest.MonkeyPatch, mode: Mode
    ) -> None:
        assert load(monkeypatch, CONFIG_MODE=mode, DATABASE_URL="postgresql://h/x").url is None

    @pytest.mark.parametrize("mode", Mode)
    def test_uses_no_url_of_another_mode(self, monkeypatch: pytest.MonkeyPatch, mode: Mode) -> None:
        others = {v: "postgresql://h/other" for m, v in URL_VARIABLES.items() if m is not mode}
        if mode in DEPLOYED:
            message = refusal(monkeypatch, CONFIG_MODE=mode, **others)
            assert message.startswith(URL_VARIABLES[mode])
        else:
            assert load(monkeypatch, CONFIG_MODE=mode, **others).url is None

    def test_an_unknown_one_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        message = refusal(monkeypatch, CONFIG_MODE="prod")
        assert message == (
            "CONFIG_MODE: Input should be 'development', 'testing', 'staging' or 'production'"
        )

    @pytest.mark.parametrize(
        ("mode", "expected"),
        [
            (Mode.development, ("console", "info", True, True, True, False)),
            (Mode.testing, ("json", "warning", False, True, True, False)),
            (Mode.staging, ("json", "info", False, True, False, True)),
            (Mode.production, ("json", "info", False, False, False, True)),
        ],
    )
    def test_defaults(
        self, monkeypatch: pytest.MonkeyPatch, mode: Mode, expected: tuple[Any, ...]
    ) -> None:
        settings = load(monkeypatch, CONFIG_MODE=mode, **{URL_VARIABLES[mode]: URL_TEXT})
        assert (
            settings.log_format,
            settings.log_level,
            settings.debug,
            settings.docs_enabled,
            settings.migrate_on_start,
            settings.email_deliverability,
        ) == expected

    @pytest.mark.parametrize("mode", Mode)
    def test_a_default_yields_to_its_variable(
        self, monkeypatch: pytest.MonkeyPatch, mode: Mode
    ) -> None:
        changed = {"docs_enabled": False, "migrate_on_start": False, "log_level": "error"}
        monkeypatch.setenv(URL_VARIABLES[mode], URL_TEXT)
        settings = load(monkeypatch, CONFIG_MODE=mode, **{k: str(v) for k, v in changed.items()})
        assert settings.model_dump(include=set(changed)) == changed


@pytest.mark.parametrize("mode", DEPLOYED)
class TestCredentialsWhereDeployed:
    def test_are_on(self, monkeypatch: pytest.MonkeyPatch, mode: Mode) -> None:
        monkeypatch.setenv("DATABASE_URL", URL_TEXT)
        assert load(monkeypatch, CONFIG_MODE=mode).auth_mode == "on"
        assert load(monkeypatch, CONFIG_MODE=mode, AUTH_MODE="on").auth_mode == "on"

    def test_cannot_be_off(self, monkeypatch: pytest.MonkeyPatch, mode: Mode) -> None:
        message = refusal(monkeypatch, CONFIG_MODE=mode, DATABASE_URL=URL_TEXT, AUTH_MODE="off")
        assert (
            message
            == f"AUTH_MODE is off, which {mode} mode does not allow: unset it or set it to on"
        )


@pytest.mark.parametrize("mode", LOCAL)
class TestCredentialsElsewhere:
    def test_are_off_until_switched_on(self, monkeypatch: pytest.MonkeyPatch, mode: Mode) -> None:
        assert load(monkeypatch, CONFIG_MODE=mode).auth_mode == "off"
        assert load(monkeypatch, CONFIG_MODE=mode, AUTH_MODE="on").auth_mode == "on"


JWT = {"AUTH_MODE": "on", "JWT_ISSUER": "https://id.example.com", "JWT_AUDIENCE": "satchel"}
JWKS_URL = "https://id.example.com/jwks"


class TestJWT:
    @pytest.mark.parametrize("url", [JWKS_URL, "http://127.0.0.1:8001/x", "http://localhost/x"])
    def test_keys_come_from_a_url(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        settings = load(monkeypatch, **JWT, JWT_JWKS_URL=url, JWT_ALGORITHMS="ES256,Ed25519")
        assert settings.jwt_jwks_url == url
        assert settings.jwt_algorithms == "ES256,Ed25519"

    def test_eddsa_means_ed25519(self, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = load(monkeypatch, **JWT, JWT_JWKS_URL=JWKS_URL, JWT_ALGORITHMS="RS256,EdDSA")
        assert settings.jwt_algorithms == "RS256,Ed25519"

    def test_keys_come_from_a_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert load(monkeypatch, **JWT, JWT_KEY_FILE="key.pem").jwt_key_file == Path("key.pem")

    @pytest.mark.parametrize(
        ("environment", "expected"),
        [
            ({}, "JWTs need JWT_JWKS_URL or JWT_KEY_FILE: set one of them"),
            (
                {"JWT_JWKS_URL": JWKS_URL, "JWT_KEY_FILE": "key.pem"},
                "JWTs need JWT_JWKS_URL or JWT_KEY_FILE: set one of them",
            ),
            ({"JWT_JWKS_URL": JWKS_URL, "JWT_ISSUER": ""}, "JWTs need JWT_ISSUER too"),
            ({"JWT_JWKS_URL": JWKS_URL, "JWT_AUDIENCE": ""}, "JWTs need JWT_AUDIENCE too"),
            (
                {"JWT_JWKS_URL": JWKS_URL, "AUTH_MODE": ""},
                "JWT_ISSUER is set, but AUTH_MODE is off: set AUTH_MODE=on",
            ),
            ({"JWT_JWKS_URL": "http://id.example.com/"}, "JWT_JWKS_URL: must be an https:// URL"),
            ({"JWT_JWKS_URL": "https://"}, "JWT_JWKS_URL: must be an https:// URL"),
            ({"JWT_JWKS_URL": "https://a:hunter2@h/"}, "JWT_JWKS_URL: must hold no user"),
            *(
                ({"JWT_JWKS_URL": JWKS_URL, "JWT_ALGORITHMS": names}, "JWT_ALGORITHMS: must be")
                for names in ("none", "HS256", "RS256,HS256", "RS256, ES256", "rs256", "Ed448")
            ),
        ],
    )
    def test_what_contradicts_itself_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
    ) -> None:
        message = refusal(monkeypatch, **(JWT | environment))
        assert message.startswith(expected)
        assert SECRET not in message


class TestUnsetMode:
    def test_is_development_on_loopback_with_the_embedded_server(self) -> None:
        settings = load_settings()
        assert settings.config_mode is None
        assert settings.mode is Mode.development
        assert is_loopback(settings.host)
        assert settings.url is None
        assert settings == load_settings(**MODE_DEFAULTS[Mode.development])

    @pytest.mark.parametrize("name", ALL_URL_VARIABLES)
    def test_with_any_database_is_refused(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        message = refusal(monkeypatch, **{name: URL_TEXT})
        assert message == f"{name} is set, so CONFIG_MODE must be set too"

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "db.example.com"])
    def test_beyond_loopback_is_refused(self, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
        message = refusal(monkeypatch, HOST=host)
        assert message == "HOST is not a loopback address, so CONFIG_MODE must be set too"
        assert load(monkeypatch, CONFIG_MODE="development", HOST=host).host == host

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
    def test_on_any_loopback_address_is_fine(
        self, monkeypatch: pytest.MonkeyPatch, host: str
    ) -> None:
        assert load(monkeypatch, HOST=host).host == host


class TestValues:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("PORT", "65536"),
            ("PORT", "-1"),
            ("PORT", "http"),
            ("WORKERS", "0"),
            ("POOL_SIZE", "0"),
            ("MAX_BODY_SIZE", "12"),
            ("EMAIL_DNS_TIMEOUT", "0"),
            ("EMAIL_DNS_TIMEOUT", "nan"),
            ("EMAIL_DNS_TIMEOUT", "inf"),
            ("LOG_LEVEL", "loud"),
            ("LOG_FORMAT", "xml"),
            ("DEBUG", "perhaps"),
            ("DOCS_ENABLED", "perhaps"),
        ],
    )
    def test_a_wrong_one_names_its_variable_and_not_the_value(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        message = refusal(monkeypatch, **{name: value})
        assert message.startswith(f"{name}: Input should be ")
        assert "\n" not in message

    def test_all_wrong_ones_are_reported_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        message = refusal(monkeypatch, CONFIG_MODE="prod", PORT="x", DATABASE_URL="x")
        names = [line.partition(":")[0] for line in message.splitlines()]
        assert names == ["CONFIG_MODE", "DATABASE_URL", "PORT"]

    def test_an_empty_one_means_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        everything = {name.upper(): "" for name in Settings.model_fields}
        assert load(monkeypatch, **everything) == Settings(_env_file=None)

    def test_an_override_wins_over_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PORT", "1")
        assert load_settings(port=2).port == 2

    def test_settings_cannot_be_changed(self) -> None:
        field = "port"
        with pytest.raises(ValueError, match="frozen"):
            setattr(load_settings(), field, 1)


class TestEdge:
    def test_is_open_by_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = load(monkeypatch)
        assert (settings.rate_limit, settings.cors_origins, settings.trusted_proxies) == (
            None, (), (),
        )  # fmt: skip

    def test_lists_are_written_with_commas(self, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = load(
            monkeypatch,
            RATE_LIMIT="20 per 10 second",
            CORS_ORIGINS="https://a.example.com, http://localhost:3000,",
            TRUSTED_PROXIES="10.0.0.0/8,::1, 192.0.2.1",
            ALLOWED_HOSTS="Satchel.local, my_box,[FE80::1]",
        )
        assert settings.cors_origins == ("https://a.example.com", "http://localhost:3000")
        assert settings.trusted_proxies == ("10.0.0.0/8", "::1", "192.0.2.1")
        assert settings.allowed_hosts == ("satchel.local", "my_box", "[fe80::1]")
        assert settings.rate_limit is not None
        assert parse_rate_limit(settings.rate_limit) == (20, 10)
        assert load(monkeypatch, CORS_ORIGINS="*").cors_origins == ("*",)

    @pytest.mark.parametrize(
        ("text", "limit"),
        [
            ("100/minute", (100, 60)),
            ("20/10second", (20, 10)),
            ("5 per hour", (5, 3600)),
            (" 5 per 2 Hours ", (5, 7200)),
            ("1/day", (1, 86_400)),
        ],
    )
    def test_a_rate_limit_is_requests_per_time(self, text: str, limit: tuple[int, int]) -> None:
        assert parse_rate_limit(text) == limit

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(("RATE_LIMIT", value) for value in
              ("100", "100/fortnight", "0/minute", "1/0minute", "1/minute;2/hour", "-1/minute")),
            *(("CORS_ORIGINS", value) for value in
              ("*,https://a.example.com", "https://a.example.com/", "a.example.com", "null",
               "https://A.example.com", "https://*.example.com", "https://a.example.com:443",
               "http://a.example.com:80", "ftp://a.example.com")),
            *(("ALLOWED_HOSTS", value) for value in
              ("*", "box:8000", "http://box", "*.example.com", "::1", "box,a b")),
            *(("TRUSTED_PROXIES", value) for value in ("*", "proxy", "10.0.0.1/8", "10.0.0.256")),
        ],
    )  # fmt: skip
    def test_a_wrong_one_is_refused_without_showing_it(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        message = refusal(monkeypatch, **{name: value})
        assert message.startswith((f"{name}: must be ", f"{name}: is either * or "))
        assert "\n" not in message


class TestRootPath:
    @pytest.mark.parametrize("path", ["", "/shop", "/a/b-c_d.e~1"])
    def test_is_a_path(self, path: str) -> None:
        assert Settings(_env_file=None, root_path=path).root_path == path

    @pytest.mark.parametrize(
        "path", ["/", "/shop/", "shop", "//shop", "/a b", "/a%20b", "/\xe9", "/a\n"]
    )
    def test_others_are_refused(self, path: str) -> None:
        with pytest.raises(ValidationError, match="must be a path such as /shop"):
            Settings(_env_file=None, root_path=path)


class TestDatabaseURL:
    @pytest.mark.parametrize(
        "scheme",
        [
            "postgres",
            "postgresql",
            "postgresql+psycopg2",
            "postgresql+psycopg",
            "postgresql+asyncpg",
        ],
    )
    def test_any_usual_scheme_becomes_that_of_asyncpg(self, scheme: str) -> None:
        url = parse_database_url(f"{scheme}://me:p%40ss%2F@h:5433/satchel")
        assert url == URL.create("postgresql+asyncpg", "me", "p@ss/", "h", 5433, "satchel")

    @pytest.mark.parametrize(
        "mode", ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
    )
    def test_sslmode_becomes_ssl(self, mode: str) -> None:
        assert parse_database_url(f"postgres://h/d?sslmode={mode}").query == {"ssl": mode}
        assert parse_database_url(f"postgres://h/d?ssl={mode}").query == {"ssl": mode}

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("host=/run/postgresql&port=5433", {"host": "/run/postgresql", "port": "5433"}),
            ("host=a:1&host=b:2", {"host": ("a:1", "b:2")}),
            ("host=a,b&port=1,2", {"host": "a,b", "port": "1,2"}),
            ("target_session_attrs=read-write", {"target_session_attrs": "read-write"}),
            ("prepared_statement_cache_size=0", {"prepared_statement_cache_size": "0"}),
            ("options=endpoint%3Dep-x", {"options": "endpoint=ep-x"}),
            (f"sslrootcert={CERTIFICATES}", {"sslrootcert": CERTIFICATES}),
            ("sslrootcert=system", {"sslrootcert": "system"}),
            # As Neon, Supabase, Heroku and RDS print them.
            ("sslmode=require&channel_binding=prefer", {"ssl": "require"}),
            ("sslmode=require&connect_timeout=15", {"ssl": "require"}),
            ("pgbouncer=true", {"prepared_statement_cache_size": "0"}),
            ("pgbouncer=false&gssencmode=disable", {}),
            ("ssl=true", {"ssl": "require"}),
            (
                f"sslmode=verify-full&sslrootcert={CERTIFICATES}",
                {"ssl": "verify-full", "sslrootcert": CERTIFICATES},
            ),
        ],
    )
    def test_keeps_what_the_driver_takes(self, query: str, expected: dict[str, Any]) -> None:
        assert parse_database_url(f"postgresql:///d?{query}").query == expected

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (SECRET, "is not a URL"),
            (f"postgresql://me:{SECRET}@h:{SECRET}/d", "is not a URL"),
            (f"mysql://me:{SECRET}@h/d", "must begin with postgresql://"),
            (f"postgresql+pg8000://me:{SECRET}@h/d", "must begin with postgresql://"),
            (f"postgresql://me:{SECRET}@h", "must end with the name of a database"),
            (f"postgresql://me:{SECRET}@h:0/d", "port that is not in 1 to 65535"),
            (f"postgresql://me:{SECRET}@h:70000/d", "port that is not in 1 to 65535"),
            (f"postgresql://me:x@{SECRET}@h/d", "has more than one @"),
            (f"postgresql://me:x@y/{SECRET}@h/d", "has more than one @"),
            (f"postgresql://me:x@h/d?password={SECRET}", "the option password, which"),
            (
                f"postgresql://me:{SECRET}@h/d?sslmode=require&channel_binding=require",
                "channel_binding, which the driver does not know: write sslmode=verify-full&",
            ),
            (f"postgresql://h/d?connection_limit={SECRET}", "set POOL_SIZE instead"),
            (f"postgresql://h/d?application_name={SECRET}", "does not know: leave it out"),
            (f"postgresql://h/d?connect_timeout={SECRET}", "the option connect_timeout"),
            (f"postgresql://h/d?sslrootcert=/{SECRET}", "a file in sslrootcert that is not there"),
            (f"postgresql://h/d?sslkey={SECRET}", "a file in sslkey that is not there"),
            (f"postgresql://h/d?sslcert={CERTIFICATES}&sslcert={SECRET}", "a file in sslcert that"),
            (
                f"postgresql://h/d?sslmode=require&sslrootcert=system&password={SECRET}",
                "the option password",
            ),
            ("postgresql://h/d?sslmode=require&sslrootcert=system", "needs sslmode=verify-full"),
            (f"postgresql://h/d?sslrootcert=system&sslcert={SECRET}", "and no other files"),
            (f"postgresql://me:x@h/d?sslmode={SECRET}", "a value of sslmode that"),
            (f"postgresql://me:x@h/d?ssl={SECRET}", "a value of ssl that"),
            (f"postgresql://me:x@h/d?port={SECRET}", "a value of port that"),
            (f"postgresql:///d?host=a&port=1&port={SECRET}", "a value of port that"),
            (
                f"postgresql://me:{SECRET}@a:1,b:2/d",
                "is not a URL like postgresql://user:password@/",
            ),
            (f"postgresql://me:{SECRET}@a,b/d", "names several hosts in the place of one: write"),
            (f"postgresql://me:{SECRET}@/d?host=a:1&host=b", "one port for each of its hosts"),
            (f"postgresql://me:{SECRET}@/d?host=a,b,c&port=1,2", "one port for each of its hosts"),
            (f"postgresql://me:{SECRET}@/d?host=a,b", "one port for each of its hosts"),
            (f"postgresql://me:{SECRET}@/d?host=a:1&host=b:2&port=3", "for each of its hosts"),
            (f"postgresql://me:{SECRET}@/d?host=a:1&host=[::1]:2", "for each of its hosts"),
            (f"postgresql://me:{SECRET}@/d?host=a&host=b&port=1&port=2", "for each of its hosts"),
            (f"postgresql://me:{SECRET}@/d?port=1&port=2", "one port for each of its hosts"),
            (f"postgresql://me:{SECRET}@/d?host=a:1&host=b:70000", "port that is not in 1 to"),
            (f"postgresql://me:{SECRET}@/d?host=a&port=70000", "port that is not in 1 to 65535"),
            (
                f"postgresql://h/d?target_session_attrs={SECRET}",
                "a value of target_session_attrs that",
            ),
            (
                f"postgresql://h/d?prepared_statement_cache_size={SECRET}",
                "a value of prepared_statement_cache_size that",
            ),
        ],
    )
    def test_a_wrong_one_is_refused_without_showing_it(
        self, monkeypatch: pytest.MonkeyPatch, text: str, message: str
    ) -> None:
        shown = refusal(monkeypatch, CONFIG_MODE="staging", STAGING_DATABASE_URL=text)
        assert shown.startswith("STAGING_DATABASE_URL: ")
        assert message in shown
        assert SECRET not in shown
        assert "\n" not in shown


class TestPooler:
    def test_a_url_for_migrations_is_none_by_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = load(monkeypatch, CONFIG_MODE="production", DATABASE_URL=URL_TEXT)
        assert (settings.database_pooler, settings.migration_url) == ("none", None)

    def test_has_a_url_past_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = load(
            monkeypatch,
            CONFIG_MODE="production",
            DATABASE_URL=URL_TEXT,
            DATABASE_POOLER="transaction",
            MIGRATION_DATABASE_URL="postgres://owner@direct/satchel",
        )
        assert settings.migration_url == parse_database_url("postgresql://owner@direct/satchel")
        assert database_of(settings) == "satchel"

    def test_has_one_of_replicas(self, monkeypatch: pytest.MonkeyPatch) -> None:
        url = "postgres://me@/satchel?host=a,b&port=5432,5432&target_session_attrs=standby"
        settings = load(
            monkeypatch,
            CONFIG_MODE="production",
            DATABASE_URL=URL_TEXT,
            REPLICA_DATABASE_URL=url,
        )
        assert settings.replica_url == parse_database_url(url)
        assert load(monkeypatch, REPLICA_DATABASE_URL="").replica_url is None

    @pytest.mark.parametrize(
        ("environment", "message"),
        [
            (
                {"CONFIG_MODE": "testing", "REPLICA_DATABASE_URL": URL_TEXT},
                "REPLICA_DATABASE_URL is set, but TEST_DATABASE_URL is not",
            ),
            ({"REPLICA_MAX_LAG": "0"}, "REPLICA_MAX_LAG: Input should be greater than 0"),
            (
                {"CONFIG_MODE": "testing", "MIGRATION_DATABASE_URL": URL_TEXT},
                "MIGRATION_DATABASE_URL is set, but TEST_DATABASE_URL is not",
            ),
            (
                {"MIGRATION_DATABASE_URL": URL_TEXT},
                "MIGRATION_DATABASE_URL is set, so CONFIG_MODE must be set too",
            ),
            (
                {"DATABASE_POOLER": "session"},
                "DATABASE_POOLER: Input should be 'none' or 'transaction'",
            ),
        ],
    )
    def test_a_wrong_setting_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], message: str
    ) -> None:
        assert refusal(monkeypatch, **environment) == message


class TestSecrets:
    def test_are_in_no_text_of_the_settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = load(
            monkeypatch, CONFIG_MODE="production", **dict.fromkeys(ALL_URL_VARIABLES, URL_TEXT)
        )
        assert settings.url is not None
        assert settings.url.password == SECRET
        shown = [settings, settings.url, settings.model_dump(), settings.model_dump_json()]
        for text in [*map(str, shown), *map(repr, shown)]:
            assert SECRET not in text

    def test_are_in_no_refusal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        urls = dict.fromkeys(ALL_URL_VARIABLES, URL_TEXT)
        with pytest.raises(ConfigurationError) as caught:
            load(monkeypatch, **urls)
        error: BaseException | None = caught.value
        assert error is not None
        assert SECRET not in str(error) + repr(error)
        assert error.__cause__ is None  # a traceback shows no validation error with its input
        assert error.__suppress_context__

    def test_are_in_no_validation_error(self) -> None:
        with pytest.raises(ValidationError) as caught:
            Settings(_env_file=None, staging_database_url=SecretStr(SECRET))
        assert SECRET not in str(caught.value)
        with pytest.raises(ValidationError) as caught:
            Settings.model_validate({"staging_database_url": SECRET, "port": SECRET})
        assert SECRET not in str(caught.value)


class TestEnvFile:
    def test_is_read_from_the_working_directory(self, directory: Path) -> None:
        (directory / ".env").write_text("CONFIG_MODE=testing\nPORT=1234\n")
        settings = load_settings()
        assert settings.mode is Mode.testing
        assert settings.port == 1234

    def test_yields_to_the_environment(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (directory / ".env").write_text("PORT=1\nWORKERS=2\n")
        settings = load(monkeypatch, PORT="3")
        assert (settings.port, settings.workers) == (3, 2)

    def test_may_hold_variables_of_others(self, directory: Path) -> None:
        (directory / ".env").write_text("COMPOSE_PROJECT_NAME=x\n")
        assert load_settings() == Settings(_env_file=None)

    @pytest.mark.parametrize("text", ["PORT=http", "DATABASE_URL=hunter2"])
    def test_a_wrong_value_is_refused_like_any_other(self, directory: Path, text: str) -> None:
        (directory / ".env").write_text(text)
        with pytest.raises(ConfigurationError, match=f"^{text.partition('=')[0]}: ") as caught:
            load_settings()
        assert SECRET not in str(caught.value)

    def test_that_cannot_be_read_is_refused(self, directory: Path) -> None:
        (directory / ".env").write_bytes(b"PORT=\xff")
        with pytest.raises(ConfigurationError, match=r"^\.env cannot be read: "):
            load_settings()


class TestDocumentation:
    @pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
    def test_is_what_the_settings_give(self, path: Path) -> None:
        assert path.read_text() == FILES[path](), "run make settings"

    @pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
    def test_has_each_setting_with_its_description(self, path: Path) -> None:
        text = path.read_text()
        for name in Settings.model_fields:
            assert DESCRIPTIONS[name] in text
            assert text.count(f"\n{name.upper()}=") + text.count(f"\n| `{name.upper()}` |") == 1

    def test_every_mode_has_a_default_for_the_same_settings(self) -> None:
        assert len({frozenset(defaults) for defaults in MODE_DEFAULTS.values()}) == 1

    def test_a_copy_loads_and_changes_nothing(self, directory: Path) -> None:
        (directory / ".env").write_text(EXAMPLE.read_text())
        assert load_settings() == Settings(_env_file=None)

    @pytest.mark.parametrize("mode", Mode)
    def test_a_copy_leaves_the_mode_its_defaults(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode
    ) -> None:
        monkeypatch.setenv(URL_VARIABLES[mode], URL_TEXT)
        without = load(monkeypatch, CONFIG_MODE=mode)
        (directory / ".env").write_text(EXAMPLE.read_text())
        assert load_settings() == without
        assert os.environ["CONFIG_MODE"] == mode
