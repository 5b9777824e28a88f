"""Accept and Accept-Encoding are read as RFC 9110 says."""

import pytest

from app.api.negotiation import accepts_gzip, weights_of


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("deflate, *", True),
        ("gzip; q=0.001, *;q=0", True),
        ("", False),
        ("br, identity", False),
        ("gzip;q=0", False),
        ("*, gzip ; q=0.000", False),
        ("br, *;q=0", False),
    ],
)
def test_accept_encoding_allows_gzip(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


@pytest.mark.parametrize(
    ("header", "weights"),
    [
        ("text/csv", {"text/csv": 1}),
        ("Text/CSV;header=present; Q=0.5 , */*", {"text/csv": 0.5, "*/*": 1}),
        ("a;q=0, b;q=1.000, c;q=0.25;x=y", {"a": 0, "b": 1, "c": 0.25}),
        ("a;q=many, b;q=", {"a": 1, "b": 1}),
    ],
)
def test_elements_have_their_weights(header: str, weights: dict[str, float]) -> None:
    assert weights_of(header) == weights
