"""Schemathesis sends thousands of requests to a server and finds nothing against its document.

SCHEMATHESIS_SEED and SCHEMATHESIS_EXAMPLES set the seed and the length of the run.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.catalog import CATALOG
from tests.clients.conftest import operations, run_tool
from tests.waiting import PATIENCE

HERE = Path(__file__).parent
SEED = os.environ.get("SCHEMATHESIS_SEED", "1")
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "15")


@pytest.mark.slow
async def test_nothing_breaks_a_promise_of_the_document(
    server_url: str, document: dict[str, Any], tmp_path: Path
) -> None:
    number = len(operations(document))
    async with httpx.AsyncClient(base_url=server_url, timeout=PATIENCE) as client:
        seeds = await seed(client)
    (tmp_path / "seeds.json").write_text(json.dumps(seeds))
    config = tmp_path / "schemathesis.toml"
    fixed = (HERE / "schemathesis.toml").read_text()
    config.write_text(f"{fixed}\n{dictionaries(document, seeds['ids'])}")
    output = await asyncio.to_thread(
        run_tool,
        Path(sys.executable).with_name("schemathesis"),
        *("--config-file", config, "run", f"{server_url}/openapi.json", "--checks", "all"),
        *("--seed", SEED, "--max-examples", EXAMPLES, "--no-color"),
        cwd=tmp_path,
        seconds=int(EXAMPLES) * 120,
        HOOKS=str(HERE / "schemathesis_hooks.py"),
        PYTHONPATH=str(HERE.parent.parent),
    )
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅  {phase} (in" in output, output
    assert f"Selected: {number}/{number}\n  Tested: {number}\n" in output, output
    assert "No issues found" in output, output


def dictionaries(document: dict[str, Any], ids: dict[str, list[str]]) -> str:
    """The part of the configuration that makes requests send ids of rows that exist."""
    sections = document["components"]["schemas"].values()
    fields = {name for schema in sections for name in schema.get("properties", ())}
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    asked = {
        one["name"]
        for operation in operations
        for one in operation.get("parameters", ())
        if one.get("in") == "query"
    }
    lines = []
    for name, values in ids.items():
        lines.append(f"[dictionaries.{name}]\nvalues = {json.dumps(values)}")
        for place, probability, names in (
            ("path", 0.8, ids.keys()),
            ("query", 0.5, asked),
            ("body", 0.8, fields),
        ):
            if name in names:
                use = f'dictionary = "{name}"\nprobability = {probability}'
                lines.append(f'[parameters."{place}.{name}"]\n{use}')
    return "\n".join([*lines, ""])


async def seed(client: httpx.AsyncClient) -> dict[str, Any]:
    """Create rows with links between them, and others to delete. Their ids: those to use by the
    name of the path parameter, those to delete by the path of the operation.
    """
    ids: dict[str, list[str]] = {}
    doomed: dict[str, list[str]] = {}
    for entry in CATALOG:
        parents = {name: ids[parent.id_name] for name, parent in entry.parents().items()}
        rows = [
            await entry.create(client, **{name: own[n % 10] for name, own in parents.items()})
            for n in (*range(10), *[0] * 50)
        ]
        every = [row["id"] for row in rows]
        ids[entry.id_name], doomed[f"{entry.path}/{{{entry.id_name}}}"] = every[:10], every[10:]
    accounts, items = ids["account_id"], ids["item_id"]
    for position, account in enumerate(accounts):
        for item in items:
            await put(client, f"/accounts/{account}/wishes/{item}", note="For the hall")
        await put(client, f"/accounts/{account}/favorite", item_id=items[position])
        if position % 2:
            await put(client, f"/accounts/{account}/reservation", item_id=items[position])
    return {"ids": ids, "doomed": doomed}


async def put(client: httpx.AsyncClient, path: str, **body: Any) -> None:
    answer = await client.put(path, json=body)
    assert answer.is_success, answer.text
