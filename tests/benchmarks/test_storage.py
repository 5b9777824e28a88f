"""Bytes, WAL and connections are measured; how many there are is not asked."""

from pathlib import Path

import pytest

from benchmarks import measure, scale, storage
from benchmarks.data import Amount
from benchmarks.postgres import running_postgres
from tests.programs import find_program

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not measure.can_measure(), reason="reads /proc, which is Linux's"),
]


def test_each_figure_is_measured(server_home: Path, tmp_path: Path) -> None:
    find_program("wrk", "wrk")
    with running_postgres(server_home / "storage") as postgres:
        found = storage.measure_storage(postgres, Amount(300, 900), 3, tmp_path)
    published = scale.inputs()[1]
    assert found.keys() == published.keys() & found.keys()
    assert found["wal_bytes"].keys() == published["wal_bytes"].keys()
    for wal in found["wal_bytes"].values():
        assert 0 < wal["steady"] < wal["after_checkpoint"]
    for name, table in found["tables"].items():
        assert table["rows"] > 0
        assert table["row_bytes"] > 0
        assert table["index_bytes"].keys() == published["tables"][name]["index_bytes"].keys()
        assert all(size > 0 for size in table["index_bytes"].values())
    assert found["tables"]["idempotency_keys"]["rows"] == 6
    assert found["connection_mb"] > 0
