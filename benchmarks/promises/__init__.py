"""What Satchel promises besides right answers, asked of it and of the peer that promises the same.

A peer that leaves one out would be cheaper for a reason that its figures do not show.
"""

from collections.abc import Callable
from pathlib import Path

from benchmarks.answers import answer_faults
from benchmarks.client import Client
from benchmarks.promises import reads, writes

_READS = (
    reads.check_keys,
    reads.check_heads,
    reads.check_conditional_get,
    reads.check_unknown_paths,
    reads.check_metrics,
)
_CREATES = (writes.check_created, writes.check_strict_bodies, writes.check_idempotency)
_CHECKS: dict[str, tuple[Callable[[Client], None], ...]] = {
    "get": _READS,
    "list": (reads.check_pages,),
    "filter": (),
    "create": _CREATES,
    "change": (writes.check_changes, writes.check_conditional_changes),
    "mixed": (*_READS, reads.check_pages, *_CREATES),
}


def check_promises(operation: str, client: Client, log: Path) -> None:
    """`log`: what the server has written. Errors: WrongAnswerError."""
    with answer_faults():
        for check in _CHECKS[operation]:
            check(client)
        if operation in ("get", "mixed"):
            reads.check_log(client, log)
