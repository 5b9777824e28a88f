"""The dashboard and the alerts: they ask for what /metrics really tells, and alerts fire."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.factories import create_account
from tests.programs import find_program
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "docs" / "dashboards" / "satchel.json"
ALERTS = ROOT / "docs" / "dashboards" / "alerts.yml"
SELECTOR = re.compile(r"([A-Za-z_:][\w:]*)\{([^}]*)\}")
SERIES = re.compile(r"^([a-z_]+)(?:\{(.*)\})? \S+$", re.MULTILINE)


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return document


def dashboard_expressions() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def rules() -> list[dict[str, str]]:
    """Each rule's fields that fit on a line, and its summary."""
    found = []
    for block in ALERTS.read_text().split("- alert: ")[1:]:
        fields = dict(re.findall(r"^\s+(expr|for|labels): (.+)$", block, re.MULTILINE))
        summary = block.partition("summary: >-")[2].strip()
        found.append({"alert": block.split()[0], "summary": summary, **fields})
    return found


async def exposed(client: httpx.AsyncClient) -> dict[str, set[str]]:
    """The names of all series, each with its labels and those that Prometheus adds."""
    await create_account(client)
    series: dict[str, set[str]] = {"up": set()}
    for name, labels in SERIES.findall((await client.get("/metrics")).text):
        series.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return {name: labels | {"job", "instance"} for name, labels in series.items()}


class TestExpressions:
    async def test_ask_for_nothing_that_is_not_there(self, client: httpx.AsyncClient) -> None:
        series = await exposed(client)
        expressions = [*dashboard_expressions(), *(rule["expr"] for rule in rules())]
        assert len(expressions) > 25
        for expression in expressions:
            selectors = SELECTOR.findall(expression)
            assert selectors, expression
            known: set[str] = set()
            for name, matchers in selectors:
                assert name in series, expression
                assert set(re.findall(r"(\w+)=", matchers)) <= series[name], expression
                known |= series[name]
            for names in re.findall(r"by \(([^)]*)\)", expression):
                assert set(names.split(", ")) <= known, expression
            # Each name of ours has a selector, or this test would not have looked at it.
            rest = SELECTOR.sub("", expression)
            assert not re.search("(satchel|process)_", rest), expression

    async def test_show_every_metric_of_ours(self, client: httpx.AsyncClient) -> None:
        shown = {name for one in dashboard_expressions() for name, _ in SELECTOR.findall(one)}
        families = {re.sub("_(bucket|sum|count)$", "", name) for name in shown}
        for name in await exposed(client):
            if name.startswith("satchel_"):
                assert re.sub("_(bucket|sum|count)$", "", name) in families

    async def test_match_codes_that_there_are(self, client: httpx.AsyncClient) -> None:
        page = (await client.get("/metrics")).text
        for rule in rules():
            for label, value in re.findall(r'(code|check)="(\w+)"', rule["expr"]):
                assert f'{label}="{value}"' in page


class TestDashboard:
    def test_has_what_grafana_asks_for(self) -> None:
        document = dashboard()
        assert {"uid", "title", "schemaVersion", "templating", "time", "panels"} <= set(document)
        assert "id" not in document  # Grafana's own; an import would overwrite another
        ids = [panel["id"] for panel in document["panels"]]
        assert len(set(ids)) == len(ids)
        names = {one["name"] for one in document["templating"]["list"]}
        for variable in re.findall(r"\$\{?(\w+)", DASHBOARD.read_text()):
            assert variable in names or variable.startswith("__")

    def test_panels_say_what_they_show_and_do_not_overlap(self) -> None:
        taken: set[tuple[int, int]] = set()
        for panel in dashboard()["panels"]:
            assert panel["title"]
            assert panel["type"] in {"stat", "timeseries"}
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            place = panel["gridPos"]
            cells = {
                (place["x"] + x, place["y"] + y)
                for x in range(place["w"])
                for y in range(place["h"])
            }
            assert not cells & taken
            assert max(x for x, _ in cells) < 24
            taken |= cells
            refs = [target["refId"] for target in panel["targets"]]
            assert len(set(refs)) == len(refs)
            assert all(target["legendFormat"] for target in panel["targets"])


class TestAlerts:
    def test_each_waits_and_says_what_to_do(self) -> None:
        assert len(rules()) >= 9
        for rule in rules():
            assert re.fullmatch(r"\d+m", rule["for"])
            assert re.fullmatch(r"\{severity: (warning|critical)\}", rule["labels"])
            assert len(rule["summary"].split(".")) > 2, rule  # what is, and what to do

    @pytest.mark.slow
    def test_fire_when_they_should(self, tmp_path: Path) -> None:
        promtool = find_program("promtool", "prometheus")
        situations = (Path(__file__).parent / "alerts.yml").read_text()
        file = tmp_path / "alerts_test.yml"
        file.write_text(situations.replace("RULES", str(ALERTS)))
        for command in (["check", "rules", str(ALERTS)], ["test", "rules", str(file)]):
            done = subprocess.run(
                [promtool, *command], capture_output=True, text=True, check=False, timeout=PATIENCE
            )
            assert done.returncode == 0, done.stdout + done.stderr

    @pytest.mark.slow
    async def test_metrics_pass_prometheus_own_lint(self, client: httpx.AsyncClient) -> None:
        promtool = find_program("promtool", "prometheus")
        await create_account(client)
        page = (await client.get("/metrics")).text
        done = subprocess.run(
            [promtool, "check", "metrics"], input=page, capture_output=True, text=True,
            check=False, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
