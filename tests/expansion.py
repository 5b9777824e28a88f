"""Migrations that expand the schema as the next build may: a column, and an index."""

import re
from pathlib import Path

_COLUMN = '''"""A column."""

from alembic import op

revision = "{column}"
down_revision = "{head}"


def upgrade() -> None:
    op.execute("ALTER TABLE accounts ADD COLUMN nickname text")
'''
_INDEX = '''"""An index."""

from alembic import op

revision = "{index}"
down_revision = "{column}"


{upgrade}'''
REVISIONS = {"column": "next_column", "index": "next_index"}


def add_expansion(versions: Path) -> str:
    """Add migrations to this folder; the last revision."""
    head = max(script.name for script in versions.glob("*.py"))[:4]
    for name, text in (("column", _COLUMN), ("index", _INDEX)):
        script = text.format(**REVISIONS, head=head, upgrade=example())
        (versions / f"{REVISIONS[name]}.py").write_text(script)
    return REVISIONS["index"]


def example() -> str:
    """The function that CONTRIBUTING.md shows for an index."""
    page = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    [found] = [block for block in blocks if "postgresql_concurrently" in block]
    return str(found)
