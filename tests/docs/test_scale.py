"""docs/scale.md: its tables are those that are computed from what was measured."""

import copy
import json
import re

from app.models import Base
from benchmarks import scale, storage
from tests.catalog import CATALOG

PAGE = scale.PAGE.read_text()
RESULTS, STORED = scale.inputs()


def tables() -> dict[str, list[str]]:
    return scale.blocks(RESULTS, STORED)


def test_its_tables_are_those_of_the_script() -> None:
    assert scale.rewritten(PAGE, tables()) == PAGE, "run python -m benchmarks.scale"
    for name, lines in tables().items():
        assert len(lines) > 5, name


def test_its_tables_follow_what_was_measured() -> None:
    slower = copy.deepcopy(RESULTS)
    for cell in slower["cells"]:
        cell["server_us"] *= 2
    assert scale.rewritten(PAGE, scale.blocks(slower, STORED)) != PAGE
    larger = copy.deepcopy(STORED)
    larger["tables"]["items"]["row_bytes"] *= 2
    assert scale.rewritten(PAGE, scale.blocks(RESULTS, larger)) != PAGE


def test_each_figure_says_whether_it_was_measured() -> None:
    found = tables()
    assert all(line.endswith("| measured |") for line in found["units"][2:])
    assert all(line.endswith("| computed |") for line in found["limits"][2:])
    assert found["steps"][0].startswith("| computed |")
    # Outside of the tables there are assumptions, and one figure that says so itself.
    prose = re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", "", PAGE, flags=re.DOTALL)
    assert re.findall(r"\d[\d.]* ms", prose) == ["1.16 ms", "0.29 ms"]
    assert "(measured once, by hand)" in prose


def test_what_it_assumes_is_what_the_script_assumes() -> None:
    for assumption in (
        f"{1 - scale.LISTS - scale.CREATES:.0%} gets".replace("%", " %"),
        f"{scale.LISTS:.0%} lists".replace("%", " %"),
        f"{scale.CREATES:.0%} creates".replace("%", " %"),
        f"{scale.CORES} cores",
        f"at most {scale.BUSY:.0%} busy".replace("%", " %"),
        f"{scale.MEMORY_GB} GB of memory",
        f"{scale.DISK_TB} TB of disk",
        f"{scale.WAL_MB} MB/s",
        f"{scale.ITEMS} items and {scale.WISHES} wish",
    ):
        assert assumption in " ".join(PAGE.split()), assumption


def test_indexes_that_were_measured_are_those_of_the_schema() -> None:
    for name, measured in STORED["tables"].items():
        table = Base.metadata.tables[name]
        named = {str(index.name) for index in table.indexes}
        named |= {
            str(each.name)
            for each in table.constraints
            if each.name and str(each.name).startswith(("pk_", "uq_"))
        }
        assert measured["index_bytes"].keys() == named, "run python -m benchmarks.storage"
    assert {entry.resource.table.name for entry in CATALOG} <= STORED["tables"].keys()


def test_an_index_by_time_grows_at_its_end_and_others_in_all_places() -> None:
    in_order = (
        "pk_items",
        "ix_items_created",
        "ix_accounts_updated",
        "ix_idempotency_keys_expires",
    )
    assert not any(map(scale.is_scattered, in_order))
    scattered = ("uq_accounts_email_key", "ix_items_words", "ix_items_account_id", "pk_wishes")
    assert all(map(scale.is_scattered, scattered))


def test_needs_grow_with_rows_and_requests() -> None:
    costs = scale.costs_of(RESULTS, STORED)
    small, large = (scale.shares(costs, *step) for step in (scale.STEPS[0], scale.STEPS[-1]))
    assert max(small.values()) < 1 < max(large.values())
    wanted = scale.needs(costs, *scale.STEPS[-1])
    assert int(wanted["shards"]) == -(-max(large.values()) // 1)


def test_numbers_have_two_digits_and_units() -> None:
    assert [scale.count(n) for n in (0.2, 8.1, 1234, 5 * 10**6, 12.3e8)] == [
        "1",
        "9",
        "1,200",
        "5 million",
        "1.2 billion",
    ]
    assert [scale.size(n) for n in (512, 4.5e6, 1.26e9, 3e12, 2e15)] == [
        "0.51 kB",
        "4.5 MB",
        "1.3 GB",
        "3 TB",
        "2 PB",
    ]


def test_what_was_measured_says_where() -> None:
    assert json.loads(storage.FILE.read_text())["command"] == "python -m benchmarks.storage"
    assert {"date", "machine", "postgresql"} <= STORED.keys()
