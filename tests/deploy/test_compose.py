"""deploy/compose.yaml and the files that it mounts."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config import Settings
from app.postgres.watchdog import PROBE_TIMEOUT_SECONDS
from tests.cluster.configuration import NEW_BUILDS, block
from tests.deploy.files import (
    DEPLOY,
    IMAGE_PORT,
    connections_of,
    documents,
    paths_of_the_application,
    seconds_to_stop,
    settings_of,
    strings,
)
from tests.poolers import shown_settings
from tests.programs import find_program
from tests.waiting import PATIENCE

COMPOSE = DEPLOY / "compose.yaml"
[PROJECT] = documents(COMPOSE)
SERVICES: dict[str, dict[str, Any]] = PROJECT["services"]
[PATRONI] = documents(DEPLOY / "patroni.yml")
[PROMETHEUS] = documents(DEPLOY / "prometheus.yml")
HAPROXY = (DEPLOY / "haproxy.cfg").read_text()
README = (DEPLOY / "README.md").read_text()
# Those that serve, and the one that migrates.
INSTANCES = [name for name in SERVICES if re.fullmatch(r"satchel\d", name)]
OF_SATCHEL = [name for name, service in SERVICES.items() if service["image"] == "satchel"]
# The variables of other images that are used here: of Patroni and of libpq, of edoburu's
# entrypoint, and of Grafana.
VARIABLES = {
    "satchel-postgres": {
        "PATRONI_NAME",
        "PATRONI_POSTGRESQL_CONNECT_ADDRESS",
        "PATRONI_REPLICATION_PASSWORD",
        "PATRONI_REPLICATION_USERNAME",
        "PATRONI_RESTAPI_CONNECT_ADDRESS",
        "PATRONI_SUPERUSER_PASSWORD",
        "PATRONI_SUPERUSER_USERNAME",
        "PGHOST",
        "PGPASSWORD",
        "PGUSER",
        "SATCHEL_PASSWORD",  # prepare.sql reads it
    },
    "docker.io/edoburu/pgbouncer": {
        "AUTH_TYPE",
        "DB_HOST",
        "DB_NAME",
        "DB_PASSWORD",
        "DB_PORT",
        "DB_USER",
        "DEFAULT_POOL_SIZE",
        "LISTEN_PORT",
        "MAX_CLIENT_CONN",
        "POOL_MODE",
        "QUERY_WAIT_TIMEOUT",
        "SERVER_LOGIN_RETRY",
    },
    "docker.io/grafana/grafana": {"GF_SECURITY_ADMIN_PASSWORD"},
}


def environment_of(name: str) -> dict[str, str]:
    """The variables of a service, with a value in the place of each that compose is given."""
    return {
        variable: re.sub(r"\$\{\w+[^}]*\}", "secret", str(value))
        for variable, value in SERVICES[name].get("environment", {}).items()
    }


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Those of an instance."""
    return settings_of(environment_of(INSTANCES[0]), monkeypatch, tmp_path)


def ports() -> dict[str, set[str]]:
    """The ports on which each service listens."""
    listen = {PATRONI["postgresql"]["listen"], PATRONI["restapi"]["listen"]}
    postgres = {address.partition(":")[2] for address in listen}
    etcd = " ".join(SERVICES["etcd"]["command"])
    return {
        "etcd": set(re.findall(r"--listen-client-urls=\S+:(\d+)", etcd)),
        **{name: postgres for name in SERVICES if name.startswith("postgres")},
        "haproxy": set(re.findall(r"^\s*bind :(\d+)$", HAPROXY, re.MULTILINE)),
        "pgbouncer": {environment_of("pgbouncer")["LISTEN_PORT"]},
        **{name: {IMAGE_PORT} for name in INSTANCES},
        "prometheus": {"9090"},
        "grafana": {"3000"},
    }


def section_of_haproxy(listen: str) -> set[str]:
    """The lines of a section."""
    [text] = re.findall(rf"^listen {listen}\n((?: .*\n)+)", HAPROXY, re.MULTILINE)
    return {line.strip() for line in text.splitlines()}


class TestCompose:
    def validate(self, path: Path) -> subprocess.CompletedProcess[str]:
        command = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
        return subprocess.run(
            [sys.executable, *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def test_is_valid_by_the_specification(self) -> None:
        done = self.validate(COMPOSE)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_would_not_be_valid_with_an_unknown_field(self, tmp_path: Path) -> None:
        wrong = tmp_path / "compose.yaml"
        wrong.write_text(yaml.safe_dump({"services": {"one": {"image": "one", "imagine": 1}}}))
        done = self.validate(wrong)
        assert done.returncode == 1
        assert "imagine" in done.stdout

    def test_mounts_files_that_are_there(self) -> None:
        for config in PROJECT["configs"].values():
            assert "content" in config or (DEPLOY / config["file"]).is_file()
        named = {each["source"] for one in SERVICES.values() for each in one.get("configs", ())}
        assert named == PROJECT["configs"].keys()

    def test_asks_for_the_secrets_that_the_page_lists(self) -> None:
        asked = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
        assert asked == set(re.findall(r"^([A-Z_]+)=$", README, re.MULTILINE))
        for secret in PROJECT["secrets"].values():
            assert f"> {secret['file']}" in README

    def test_names_each_image_with_a_version(self) -> None:
        pulled = [one["image"] for one in SERVICES.values() if "/" in one["image"]]
        assert len(pulled) >= 5
        for image in pulled:
            assert re.fullmatch(r"[a-z.]+/[a-z/]+:v?\d+\.\d[\w.-]*", image)


class TestVariables:
    @pytest.mark.parametrize("name", OF_SATCHEL)
    def test_of_satchel_are_settings_with_good_values(
        self, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        settings = settings_of(environment_of(name), monkeypatch, tmp_path)
        assert settings.mode == "production"

    @pytest.mark.parametrize("name", sorted(SERVICES.keys() - set(OF_SATCHEL)))
    def test_of_other_images_are_theirs(self, name: str) -> None:
        image = SERVICES[name]["image"].rpartition(":")[0] or SERVICES[name]["image"]
        assert environment_of(name).keys() <= VARIABLES.get(image, set())


class TestAddresses:
    def test_lead_to_ports_on_which_somebody_listens(self) -> None:
        files = [COMPOSE, *(DEPLOY / one for one in ("patroni.yml", "haproxy.cfg"))]
        texts = [*(path.read_text() for path in files), *strings(PROMETHEUS)]
        listening = ports()
        found = {
            (host, port)
            for text in texts
            for host, port in re.findall(r"\b([a-z]+\d?):(\d{4,5})\b", text)
            if host in SERVICES
        }
        assert len(found) > 10
        assert [(host, port) for host, port in found if port not in listening[host]] == []

    def test_of_the_database_are_those_of_its_role(self) -> None:
        for name in OF_SATCHEL:
            for variable, value in environment_of(name).items():
                if variable.endswith("DATABASE_URL"):
                    assert re.match(r"postgresql://satchel:secret@\w+:\d+/satchel\b", value)
        pooler = environment_of("pgbouncer")
        assert (pooler["DB_USER"], pooler["DB_NAME"]) == ("satchel", "satchel")
        assert pooler["DB_PORT"] in ports()[pooler["DB_HOST"]]

    def test_of_haproxy_are_all_servers_and_instances(self) -> None:
        servers = re.findall(r"^\s*server (\w+) (\w+):\d+$", HAPROXY, re.MULTILINE)
        wanted = {name for name in SERVICES if re.fullmatch(r"(postgres|satchel)\d", name)}
        assert set(servers) == {(name, name) for name in wanted}

    def test_of_prometheus_are_all_instances(self) -> None:
        [job] = PROMETHEUS["scrape_configs"]
        [targets] = job["static_configs"]
        assert targets["targets"] == [f"{name}:{IMAGE_PORT}" for name in INSTANCES]
        assert job["job_name"] == "satchel"  # as the alerts expect it
        [secret] = PROJECT["secrets"]
        assert job["authorization"]["credentials_file"] == f"/run/secrets/{secret}"

    def test_are_paths_of_the_application(self) -> None:
        [job] = PROMETHEUS["scrape_configs"]
        paths = [job["metrics_path"], *re.findall(r"meth GET uri (\S+)", HAPROXY)]
        assert len(paths) == 2
        assert set(paths) <= paths_of_the_application()


class TestProxies:
    @pytest.mark.slow
    def test_are_configured_as_haproxy_wants_it(self) -> None:
        haproxy = find_program("haproxy", "haproxy")
        done = subprocess.run(
            [haproxy, "-c", "-f", DEPLOY / "haproxy.cfg"],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def test_are_those_that_satchel_trusts(self, settings: Settings) -> None:
        [network] = PROJECT["networks"]["default"]["ipam"]["config"]
        assert [str(each) for each in settings.trusted_proxies] == [network["subnet"]]

    def test_close_idle_connections_before_satchel_does(self, settings: Settings) -> None:
        [seconds] = re.findall(r"timeout client (\d+)s", HAPROXY)
        assert int(seconds) <= settings.keep_alive_timeout

    def test_wait_less_for_a_connection_than_the_watchdog(self) -> None:
        pooler = environment_of("pgbouncer")
        assert float(pooler["QUERY_WAIT_TIMEOUT"]) < PROBE_TIMEOUT_SECONDS

    def test_wait_for_the_longest_responses(self, settings: Settings) -> None:
        [minutes] = re.findall(r"timeout server (\d+)m", HAPROXY)
        longest = (settings.export_timeout, settings.import_timeout, settings.cascade_timeout)
        assert int(minutes) * 60 > max(longest)


class TestOperatorsPage:
    """What it says of a cluster holds here too. There may be more."""

    @pytest.mark.parametrize(
        ("title", "listen"), [("Clusters", "primary"), (NEW_BUILDS, "satchel")]
    )
    def test_has_the_lines_of_haproxy(self, title: str, listen: str) -> None:
        ours = section_of_haproxy("postgres" if listen == "primary" else listen)
        page = block(title, f"listen {listen}").splitlines()
        lines = {line.partition("#")[0].strip() for line in page}
        assert len(lines) > 8
        own = ("listen", "bind", "server")  # their addresses differ
        assert [line for line in lines if line.split()[0] not in own and line not in ours] == []

    def test_has_the_settings_of_patroni(self) -> None:
        page = yaml.safe_load(block("Clusters", "synchronous_mode:"))
        ours = PATRONI["bootstrap"]["dcs"]
        parameters = page["postgresql"].pop("parameters")
        assert parameters.items() <= ours["postgresql"]["parameters"].items()
        assert page.pop("postgresql").items() <= ours["postgresql"].items()
        assert page.items() <= ours.items()

    def test_has_the_settings_of_pgbouncer(self) -> None:
        page, ours = shown_settings()["pgbouncer"], environment_of("pgbouncer")
        sizes = {"max_client_conn", "default_pool_size"}
        given = {name.lower(): value for name, value in ours.items()}
        agreed = {name for name in page.keys() & given.keys() if page[name] == given[name]}
        assert agreed >= {"pool_mode", "query_wait_timeout", "server_login_retry"}
        assert page.keys() & given.keys() <= agreed | sizes


class TestPrometheus:
    @pytest.mark.slow
    def test_is_configured_as_it_wants_it(self, tmp_path: Path) -> None:
        promtool = find_program("promtool", "prometheus")
        for name in ("prometheus", "alerts"):
            source = DEPLOY / PROJECT["configs"][name]["file"]
            (tmp_path / source.name).write_bytes(source.read_bytes())
        done = subprocess.run(
            [promtool, "check", "config", "--syntax-only", tmp_path / "prometheus.yml"],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr


class TestDatabase:
    def test_is_migrated_before_anybody_serves(self) -> None:
        for name in INSTANCES:
            awaited = SERVICES[name]["depends_on"]["migrate"]
            assert awaited == {"condition": "service_completed_successfully"}
        assert SERVICES["migrate"]["command"] == ["satchel", "migrate"]

    def test_has_the_time_limits_of_the_settings(self) -> None:
        limits = re.findall(
            r"ALTER ROLE satchel SET (\w+) = '(\d+)s'", (DEPLOY / "prepare.sql").read_text()
        )
        assert {name: float(seconds) for name, seconds in limits} == {
            "statement_timeout": Settings.model_fields["statement_timeout"].default,
            "lock_timeout": Settings.model_fields["lock_timeout"].default,
            "idle_in_transaction_session_timeout": (
                Settings.model_fields["idle_in_transaction_timeout"].default
            ),
        }

    def test_has_as_many_connections_as_are_asked_for(self, settings: Settings) -> None:
        pooler = environment_of("pgbouncer")
        asked = len(INSTANCES) * connections_of(settings)
        parameters = PATRONI["bootstrap"]["dcs"]["postgresql"]["parameters"]
        assert asked <= int(pooler["DEFAULT_POOL_SIZE"]) < parameters["max_connections"]
        assert asked <= int(pooler["MAX_CLIENT_CONN"])


def test_containers_have_the_time_that_a_shutdown_takes(settings: Settings) -> None:
    for name in INSTANCES:
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > seconds_to_stop(
            settings
        )
