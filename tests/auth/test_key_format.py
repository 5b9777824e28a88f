"""The format of API keys: 256 random bits, a mode and a checksum."""

import pytest

from app.auth.key_format import digest_of, is_well_formed, make_key, prefix_of

KEY = make_key("testing").encode()


def test_has_256_random_bits() -> None:
    keys = {make_key("testing") for _ in range(100)}
    parts = [key.split("_") for key in keys]
    assert {(part[0], part[1], len(part[2])) for part in parts} == {("satchel", "testing", 43)}
    assert 62**43 > 2**256
    assert len({part[2] for part in parts}) == 100
    assert len({letter for part in parts for letter in part[2]}) == 62


def test_is_well_formed_only_in_its_mode() -> None:
    assert is_well_formed(KEY, "testing")
    assert not is_well_formed(KEY, "production")
    assert not is_well_formed(KEY, "test")


# With ids: a key in the name of a test would differ between the processes that run the tests.
GARBAGE = {
    "empty": b"",
    "beginning": b"satchel_testing_",
    "cut": KEY[:-1],
    "longer": KEY + b"0",
    "line": KEY + b"\n",
    "blank": b" " + KEY,
    "case": KEY.swapcase(),
    "mode": KEY.replace(b"testing", b"production"),
    "checksum": KEY[:-8] + b"00000000",
    "letter": KEY[:20] + (b"b" if KEY[20:21] == b"a" else b"a") + KEY[21:],
    "byte": KEY + b"\xff",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_anything_else_is_not_well_formed(garbage: bytes) -> None:
    assert not is_well_formed(garbage, "testing")
    assert not is_well_formed(garbage, "production")


def test_has_a_prefix_and_a_digest() -> None:
    key = KEY.decode()
    assert key.startswith(prefix_of(key))
    assert len(prefix_of(key)) == len("satchel_testing_") + 8
    assert len(digest_of(KEY)) == 32
    assert digest_of(b"abc").hex().startswith("ba7816bf8f01cfea414140de5dae2223")  # SHA-256
