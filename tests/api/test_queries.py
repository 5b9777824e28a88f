"""Queries are read strictly; what is wrong is told by name, never by value."""

import pytest

from app.api.queries import parse_query

PARAMETERS = {"limit": False, "country": True}


@pytest.mark.parametrize(
    ("query", "values"),
    [
        (b"", {}),
        (b"limit=5", {"limit": "5"}),
        (b"limit=", {"limit": ""}),
        (b"limit", {"limit": ""}),
        (b"country=JO", {"country": ["JO"]}),
        (b"country=JO&limit=1&country=", {"country": ["JO", ""], "limit": "1"}),
        (b"limit=a%2Bb+c%C3%A9", {"limit": "a+b cé"}),
    ],
)
def test_values(query: bytes, values: dict[str, object]) -> None:
    assert parse_query(query, PARAMETERS) == (values, [])


@pytest.mark.parametrize(
    ("query", "faults"),
    [
        (b"x=secret", {"x": "unknown"}),
        (b"x=1&x=2", {"x": "unknown"}),
        (b"limit=1&limit=1", {"limit": "duplicate"}),
        (b"limit=%00", {"limit": "invalid_format"}),
        (b"country=JO&country=%ff", {"country": "invalid_format"}),
        (b"limit=%ff&y&limit=2", {"limit": "duplicate", "y": "unknown"}),
    ],
)
def test_faults(query: bytes, faults: dict[str, str]) -> None:
    found = parse_query(query, PARAMETERS)[1]
    assert {fault["parameter"]: fault["code"] for fault in found} == faults
    assert "secret" not in str(found)
