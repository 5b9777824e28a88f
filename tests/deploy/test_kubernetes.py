"""deploy/kubernetes/."""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from jsonschema import Draft202012Validator

from app import __version__
from app.config import Settings
from tests.deploy.files import (
    DEPLOY,
    IMAGE_PORT,
    Document,
    connections_of,
    documents,
    paths_of_the_application,
    seconds_to_stop,
    settings_of,
)

# The oldest that knows `sleep` in preStop, and the newest.
VERSIONS = ["1.30", kubernetes_validate.latest_version()]
RESOURCES = [one for path in sorted(DEPLOY.glob("kubernetes/*.yaml")) for one in documents(path)]
BUILT_IN = [one for one in RESOURCES if "cnpg.io" not in one["apiVersion"]]
SCHEMA = json.loads((Path(__file__).parent / "cloudnativepg_cluster.json").read_text())


def resource(kind: str) -> Document:
    [found] = (one for one in RESOURCES if one["kind"] == kind)
    return found


DEPLOYMENT = resource("Deployment")
CLUSTER = resource("Cluster")
PODS: list[Document] = [one["spec"]["template"] for one in (DEPLOYMENT, resource("Job"))]
SERVER = DEPLOYMENT["spec"]["template"]["spec"]
[CONTAINER] = SERVER["containers"]


def environment_of(container: Document) -> dict[str, str]:
    """The variables, with a URL in the place of the one that the operator makes."""
    url = f"postgresql://satchel:secret@{CLUSTER['metadata']['name']}-rw.default:5432/satchel"
    return {each["name"]: each.get("value", url) for each in container["env"]}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Those of a pod that serves."""
    return settings_of(environment_of(CONTAINER), monkeypatch, tmp_path)


def bytes_of(quantity: str) -> int:
    [(number, unit)] = re.findall(r"^(\d+)(Mi|Gi)$", quantity)
    return int(number) * {"Mi": 2**20, "Gi": 2**30}[unit]


class TestSchemas:
    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("each", BUILT_IN, ids=lambda each: each["kind"])
    def test_of_kubernetes_have_all_that_is_written(self, each: Document, version: str) -> None:
        kubernetes_validate.validate(each, version, strict=True)

    def test_of_kubernetes_refuse_an_unknown_field(self) -> None:
        wrong = {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "replicase": 2}}
        with pytest.raises(kubernetes_validate.ValidationError, match="replicase"):
            kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)

    def test_of_the_operator_have_all_that_is_written(self) -> None:
        Draft202012Validator.check_schema(SCHEMA)
        validator = Draft202012Validator(SCHEMA)
        assert [error.message for error in validator.iter_errors(CLUSTER)] == []
        wrong = {**CLUSTER, "spec": {**CLUSTER["spec"], "instancez": 3}}
        assert [error.message for error in validator.iter_errors(wrong)]

    def test_cover_every_kind_that_a_deployment_needs(self) -> None:
        assert {one["kind"] for one in RESOURCES} == {
            "Cluster",
            "Deployment",
            "HorizontalPodAutoscaler",
            "Job",
            "NetworkPolicy",
            "PodDisruptionBudget",
            "Service",
        }


class TestVariables:
    @pytest.mark.parametrize("pod", PODS, ids=["server", "migration"])
    def test_are_settings_with_good_values(
        self, pod: Document, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        [container] = pod["spec"]["containers"]
        assert settings_of(environment_of(container), monkeypatch, tmp_path).mode == "production"

    @pytest.mark.parametrize("pod", PODS, ids=["server", "migration"])
    def test_take_the_url_that_the_operator_makes(self, pod: Document) -> None:
        [container] = pod["spec"]["containers"]
        secrets = [
            one["valueFrom"]["secretKeyRef"] for one in container["env"] if "value" not in one
        ]
        assert secrets == [{"name": f"{CLUSTER['metadata']['name']}-app", "key": "uri"}]


class TestPods:
    def test_are_asked_for_paths_of_the_application(self) -> None:
        probes = ("startupProbe", "livenessProbe", "readinessProbe")
        asked = {name: CONTAINER[name]["httpGet"] for name in probes}
        assert {name: get["path"] for name, get in asked.items()} == {
            "startupProbe": "/livez",
            "livenessProbe": "/livez",
            "readinessProbe": "/readyz",
        }
        assert {get["path"] for get in asked.values()} <= paths_of_the_application()
        assert {get["port"] for get in asked.values()} == {"http"}

    def test_listen_on_the_port_that_all_use(self) -> None:
        [port] = CONTAINER["ports"]
        assert (port["name"], port["containerPort"]) == ("http", int(IMAGE_PORT))
        assert [each["targetPort"] for each in resource("Service")["spec"]["ports"]] == ["http"]
        [incoming] = resource("NetworkPolicy")["spec"]["ingress"]
        assert [each["port"] for each in incoming["ports"]] == [int(IMAGE_PORT)]

    def test_have_the_time_that_a_shutdown_takes(self, settings: Settings) -> None:
        before = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert SERVER["terminationGracePeriodSeconds"] > before + seconds_to_stop(settings)

    def test_run_without_privileges_from_one_image(self) -> None:
        images = set()
        for pod in PODS:
            assert pod["spec"]["securityContext"]["runAsNonRoot"]
            assert pod["spec"]["automountServiceAccountToken"] is False
            [container] = pod["spec"]["containers"]
            images.add(container["image"].rpartition(":")[2])
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]}
        assert images == {__version__}

    def test_have_room_for_the_files_of_imports(self, settings: Settings) -> None:
        [mount] = CONTAINER["volumeMounts"]
        [volume] = SERVER["volumes"]
        assert (mount["name"], mount["mountPath"]) == (volume["name"], "/tmp")
        room = bytes_of(volume["emptyDir"]["sizeLimit"])
        assert room > settings.max_imports * settings.workers * settings.max_import_size


class TestTogether:
    def test_selectors_find_the_pods(self) -> None:
        labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
        spread = SERVER["topologySpreadConstraints"][0]["labelSelector"]
        for selector in (
            DEPLOYMENT["spec"]["selector"],
            resource("PodDisruptionBudget")["spec"]["selector"],
            spread,
            {"matchLabels": resource("Service")["spec"]["selector"]},
        ):
            assert selector == {"matchLabels": labels}
        # The one that migrates gets no requests, and reaches the database.
        policy = resource("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
        for pod in PODS:
            assert policy.items() <= pod["metadata"]["labels"].items()
        assert PODS[1]["metadata"]["labels"] != labels
        target = resource("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
        assert target == {
            "apiVersion": DEPLOYMENT["apiVersion"],
            "kind": "Deployment",
            "name": DEPLOYMENT["metadata"]["name"],
        }

    def test_pods_reach_the_database_and_the_dns_alone(self) -> None:
        allowed: defaultdict[str, set[Any]] = defaultdict(set)
        for rule in resource("NetworkPolicy")["spec"]["egress"]:
            [to] = rule["to"]
            pods = to["podSelector"]["matchLabels"]
            allowed[json.dumps(pods)] |= {each["port"] for each in rule["ports"]}
        database = json.dumps({"cnpg.io/cluster": CLUSTER["metadata"]["name"]})
        assert allowed == {database: {5432}, json.dumps({"k8s-app": "kube-dns"}): {53}}

    def test_the_database_has_connections_for_all_pods(self, settings: Settings) -> None:
        surge = DEPLOYMENT["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
        pods = resource("HorizontalPodAutoscaler")["spec"]["maxReplicas"] + surge
        there = int(CLUSTER["spec"]["postgresql"]["parameters"]["max_connections"])
        reserved = 20  # for the operator, replicas, migrations and people
        assert pods * connections_of(settings) + reserved <= there

    def test_a_pod_may_go_and_the_others_serve(self) -> None:
        assert resource("HorizontalPodAutoscaler")["spec"]["minReplicas"] >= 2
        assert resource("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
        assert DEPLOYMENT["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert "replicas" not in DEPLOYMENT["spec"]  # an update would undo the autoscaler's number
        assert CLUSTER["spec"]["instances"] == 3
        assert CLUSTER["spec"]["postgresql"]["synchronous"]["number"] == 1
