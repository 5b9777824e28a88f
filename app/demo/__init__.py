"""Demo data: plausible accounts, items and links, the same for the same seed."""

from typing import Literal

# What to do in a database that holds accounts.
Existing = Literal["add", "keep", "refuse"]


class DemoError(Exception):
    """No demo data can be added. The message says why and what to do."""
