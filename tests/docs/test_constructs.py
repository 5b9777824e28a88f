"""docs/scale.md lists all that Satchel's statements contain and other engines may lack."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.cli.constructs import USES
from app.postgres.embedded import embedded_postgres
from tests.databases import FAST, execute
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "scale.md").read_text().partition("<!-- constructs -->")[2]
CONSTRUCTS = [
    construct
    for cell in re.findall(r"^\| (`[^|]+`) \|", TABLE, re.MULTILINE)
    for construct in re.findall("`([^`]+)`", cell)
]
# Tests that send requests and commands of all kinds, and few statements of their own.
RUN = [
    "accounts/test_filters.py",
    "api/test_batches.py",
    "api/test_idempotency.py",
    "api/test_resources.py",
    "api/test_validate_only.py",
    "auth/test_keys.py",
    "items/test_filters.py",
    "items/test_router.py",
    "links/test_lists.py",
    "links/test_router.py",
    "postgres/test_refolding.py",
    "resources/test_counts.py",
    "resources/test_exports.py",
    "resources/test_import_writes.py",
    "serving/test_sweeper.py",
]
# Parts of those that the tests themselves send.
OF_TESTS = re.compile(
    "jsonb_populate_recordset|generate_series|pg_stat_activity|pg_stat_statements|pg_locks|pg_sleep"
    "|pg_terminate_backend|pg_indexes|information_schema|search_path|gen_random_uuid|to_jsonb|string_agg"
    "|convert_from|TRIGGER|FUNCTION|SEQUENCE|SCHEMA|LOCK TABLE|RENAME|SHOW|(CREATE|DROP) DATABASE"
)
# What every engine with PostgreSQL's wire and SQL has.
PLAIN = {
    word
    for words in (
        "ACTION ADD ALL ALTER AND ANY ARRAY AS ASC BEGIN BETWEEN BY CASCADE CASE CAST CHECK",
        "COLLATE COLUMN COMMIT COMMITTED CONSTRAINT CREATE CROSS DEFAULT DELETE DESC DISTINCT",
        "DO DROP ELSE END EXISTS EXTRACT FALSE FILTER FOREIGN FROM GROUP HAVING IF IN INDEX",
        "INNER INSERT INTO IS ISOLATION JOIN KEY LEFT LEVEL LIKE LIMIT LOCAL NO NOT NOTHING",
        "NULL NULLS OF ON OR ORDER OUTER OVER PARTITION PRIMARY READ REFERENCES RESET RESTRICT",
        "ROLLBACK SELECT SET TABLE THEN TO TRANSACTION TRUE UNION UNIQUE UPDATE USING VALUES",
        "WHEN WHERE WITH",
        "BIGINT BOOLEAN BYTEA DATE INTEGER INTERVAL JSONB NUMERIC SMALLINT TEXT TIME TIMESTAMP",
        "UUID VARCHAR ZONE",
        "array_agg array_to_string ascii char_length clock_timestamp coalesce concat count",
        "current_schema current_setting extract least lower max min now nullif octet_length",
        "regexp_replace replace row_number set_config split_part statement_timestamp sum",
        "timezone to_char to_json unnest",
        "= < > <= >= <> != ~ ~* + - * / % & || :: :",
        "DELIMITER FORMAT HEADER QUOTE STDIN STDOUT",
    )
    for word in words.split()
}
TOKEN = re.compile(
    r"\b[A-Z][A-Z_]+\b"  # a word of SQL
    r"|\b(?<!AS )(?<!AS)[a-z]\w*(?=\()"  # a function
    r"|\b(?:pg_\w+|xmin|xmax|cmin|cmax|ctid|oid)\b"  # catalogs and system columns
    r"|(?<=USING )(?:brin|gin|gist|hash|spgist)\b"  # a kind of index
    r"|[-+*/<>=~!@#%^&|?:]+"  # an operator
)
QUOTED = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"")
# What asyncpg, SQLAlchemy and Alembic ask for: custom types, quoted values, the version, tables.
DRIVERS = re.compile(
    r"WITH RECURSIVE typeinfo_tree|SELECT quote_literal\(\$1::\"pg_catalog\""
    r"|select pg_catalog\.version|SELECT pg_catalog\.pg_class\.relname"
)


def pattern_of(construct: str) -> re.Pattern[str]:
    words = r"\s+".join(map(re.escape, construct.split()))
    return re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)


# The longest first: one may be in another.
PATTERNS = {each: pattern_of(each) for each in sorted(CONSTRUCTS, key=len, reverse=True)}


def unlisted(statement: str) -> set[str]:
    """What of a statement is neither plain SQL nor in the table."""
    rest = QUOTED.sub("", statement)
    for pattern in PATTERNS.values():
        rest = pattern.sub(" ", rest)
    return set(TOKEN.findall(rest)) - PLAIN


@pytest.fixture(scope="module")
async def statements(server_home: Path) -> list[str]:
    """All statements of a run of tests, each once, without those of the tests themselves."""
    settings = {
        **FAST,
        "shared_preload_libraries": "pg_stat_statements",
        "pg_stat_statements.max": "20000",
    }
    with embedded_postgres(server_home / "statements", settings=settings) as url:
        await execute(make_url(url), "CREATE EXTENSION pg_stat_statements")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-n0",
                "-m",
                "not slow",
                "-p",
                "no:cacheprovider",
            ]
            + [str(ROOT / "tests" / each) for each in RUN],
            cwd=ROOT,
            env={**kept, "TEST_DATABASE_URL": url},
            capture_output=True,
            text=True,
            check=False,
            timeout=5 * PATIENCE,
        )
        assert done.returncode == 0, done.stdout[-3000:]
        engine = create_async_engine(url, poolclass=NullPool)
        async with engine.connect() as connection:
            found = await connection.scalars(text("SELECT DISTINCT query FROM pg_stat_statements"))
            queries = found.all()
    return [query for query in queries if not OF_TESTS.search(query) and not DRIVERS.match(query)]


@pytest.mark.slow
class TestStatements:
    async def test_contain_nothing_that_the_page_does_not_list(self, statements: list[str]) -> None:
        assert len(statements) > 200
        found = {query: rest for query in statements if (rest := unlisted(query))}
        assert found == {}

    @pytest.mark.parametrize("construct", CONSTRUCTS)
    async def test_contain_all_that_the_page_lists(
        self, statements: list[str], construct: str
    ) -> None:
        assert any(PATTERNS[construct].search(query) for query in statements)


def test_check_tries_all_that_the_page_lists() -> None:
    tried = " ".join(USES.values())
    # Migrations make indexes, and a pooler is looked for by itself.
    others = {"USING gin", "pg_backend_pid"}
    assert {each for each in CONSTRUCTS if not PATTERNS[each].search(tried)} == others


@pytest.mark.parametrize(
    "statement",
    [
        "LISTEN changes",
        "LOCK TABLE accounts",
        "SELECT pg_advisory_xact_lock($1)",
        "SELECT id FROM accounts TABLESAMPLE SYSTEM ($1)",
        "SELECT ctid FROM accounts",
        "SELECT a.id FROM accounts a, LATERAL (SELECT $1) b",
        "SELECT headers ->> $1 FROM idempotency_keys",
        "SELECT relname FROM pg_class",
        "SELECT similarity(name, $1) FROM items",
        "CREATE INDEX ix ON items USING gist (name)",
    ],
)
def test_a_construct_that_the_page_does_not_list_is_found(statement: str) -> None:
    assert unlisted(statement)


def test_the_page_gives_a_source_for_each_engine() -> None:
    assert len(CONSTRUCTS) > 15
    named = set(re.findall(r"\]\[([\w-]+)\]", TABLE))
    defined = set(re.findall(r"^\[([\w-]+)\]: https://\S+$", TABLE, re.MULTILINE))
    assert named == defined
    for engine in ("cockroach", "yugabyte", "citus", "aws"):
        assert re.search(rf"^\[[\w-]+\]: https://\S*{engine}", TABLE, re.MULTILINE)
