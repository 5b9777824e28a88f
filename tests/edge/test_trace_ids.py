"""Trace ids come from a valid traceparent."""

import pytest

from app.edge.trace_ids import sent_trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def found(value: str) -> str | None:
    return sent_trace_id({b"traceparent": value.encode("latin-1")})


@pytest.mark.parametrize(
    "value",
    [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00", f"01-{TRACE}-{SPAN}-01-later",
     f"cc-{TRACE}-{SPAN}-ff"],
)  # fmt: skip
def test_valid_ones_are_used(value: str) -> None:
    assert found(value) == TRACE


@pytest.mark.parametrize(
    "value",
    [
        "",
        "secret",
        TRACE,
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01more",
        f"00-{TRACE}-{SPAN}-0\xe9",
    ],
)
def test_invalid_ones_are_ignored(value: str) -> None:
    assert found(value) is None


def test_without_a_header_there_is_none() -> None:
    assert sent_trace_id({}) is None
