"""Schemathesis sends thousands of requests to a server and finds nothing against its document.

SCHEMATHESIS_SEED and SCHEMATHESIS_EXAMPLES set the seed and the length of the run.
"""

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.conftest import operations, run_tool
from tests.factories import create_account, create_item
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
        for name, ids in (await seed(client)).items():
            lines = "".join(f'"{one}"\n' for one in ids)
            (tmp_path / f"{name}.txt").write_text(lines)
    config = shutil.copy(HERE / "schemathesis.toml", tmp_path)
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


async def seed(client: httpx.AsyncClient) -> dict[str, list[str]]:
    """Create accounts and items with links between them, and others to delete; return their ids."""
    accounts = [(await create_account(client))["id"] for _ in range(10)]
    items = [
        (await create_item(client, account, description="For the hall"))["id"]
        for account in accounts
    ]
    for position, account in enumerate(accounts):
        for item in items:
            await put(client, f"/accounts/{account}/wishes/{item}", note="For the hall")
        await put(client, f"/accounts/{account}/favorite", item_id=items[position])
        if position % 2:
            await put(client, f"/accounts/{account}/reservation", item_id=items[position])
    return {
        "accounts": accounts,
        "items": items,
        "doomed_accounts": [(await create_account(client))["id"] for _ in range(50)],
        "doomed_items": [(await create_item(client, accounts[0]))["id"] for _ in range(50)],
    }


async def put(client: httpx.AsyncClient, path: str, **body: Any) -> None:
    answer = await client.put(path, json=body)
    assert answer.is_success, answer.text
