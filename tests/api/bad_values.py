"""Values of fields that are of another type or form, or beyond a limit."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.api.cases import ACCOUNT, SECRET, UNKNOWN, Case, account, item, send

# By field and code: the values.
Table = dict[str, dict[str, list[Any]]]

ACCOUNTS: Table = {
    "email": {
        "null_not_allowed": [None],
        "wrong_type": [0, True, 1.5, [], {}, ["a@example.com"]],
        "too_long": ["a" * 255, "a@" + "b" * 100_000 + ".com"],
        "invalid_format": [
            *("", " ", SECRET, "a@", "@b.com", "a@b", "a@b@example.com", "a b@example.com"),
            *("a\n@example.com", "Ada <a@example.com>", "a@[127.0.0.1]", "a@\u202eexample.com"),
            "a@" + "x" * 64 + ".com",
        ],
    },
    "username": {
        "null_not_allowed": [None],
        "wrong_type": [0, True, 1.5, [], {}],
        "too_short": ["", " ", "\u2003\n\t"],
        "too_long": [SECRET + "x" * 100, "x" * 100_000],
        "invalid_format": [
            *("\u200b", "\u3164\u2800", "\ufe0f\u00ad"),
            *(f"{SECRET}{control}{SECRET}" for control in "\t\n\x1b\x7f\x85\u2028\u202e"),
        ],
    },
    "dob": {
        "wrong_type": [0, 19900517, 1.5, True, ["1990-05-17"], {}],
        "invalid_format": [
            *("", SECRET, "1990-5-17", "17.05.1990", "1990-02-30", "1990-13-01", "0000-00-00"),
            *("1900-02-29", "2023-02-29", "1990-00-10", "1990-04-31", "1990-01-00", "0000-01-01"),
            *("1990-05-17T00:00:00Z", "19900517", " 1990-05-17", "1990-05-17\n"),
            "\u0661\u0669\u0669\u0660-\u0660\u0665-\u0661\u0667",
        ],
        "too_small": ["1899-12-31", "0001-01-01"],
        "too_large": ["9999-12-31"],
    },
    "country": {
        "wrong_type": [400, True, [], {}],
        "invalid_format": ["", SECRET, "XX", "J", "99999", "x" * 100_000, "%"],
    },
    "phone_number": {
        "wrong_type": [790000000, True, [], {}],
        "invalid_format": ["", SECRET, "0790000000", "+", "+999123456789", "call me"],
        "too_long": ["+" + "1" * 50, "1" * 100_000],
    },
    "id": {"read_only": [UNKNOWN, SECRET, None]},
    "created": {"read_only": ["2026-01-31T09:30:00Z"]},
    "updated": {"read_only": [0]},
    "version": {"read_only": [1]},
    "Email": {"unknown": [SECRET]},
}

ITEMS: Table = {
    "account_id": {
        "null_not_allowed": [None],
        "wrong_type": [5, True, [], {}],
        "invalid_format": [
            *("", SECRET, UNKNOWN[1:], UNKNOWN + "0", "{" + UNKNOWN + "}", "-" * 36),
            *(UNKNOWN.replace("-", ""), "urn:uuid:" + UNKNOWN),
        ],
    },
    "name": {"too_short": ["", "\t"], "too_long": ["x" * 51], "wrong_type": [1]},
    "price": {
        "wrong_type": [True, False, [], {}],
        "invalid_format": [
            *("", SECRET, "1e3", "NaN", "Infinity", "0x1", "1,50", " 1", "\u0661", "1.", ".5"),
            *("0.001", 0.001, "1_000"),
        ],
        "too_small": [-1, "-0.01", -0.01],
        "too_large": [10_000_000_000, "10000000000", 9999999999.995, "9" * 40, 1e300],
    },
    "description": {"too_long": ["x" * 10_001], "wrong_type": [1, []]},
    "image_link": {
        "null_not_allowed": [None],
        "wrong_type": [1, []],
        "too_long": ["https://example.com/" + "x" * 1000],
        "invalid_format": [
            *("", SECRET, "ftp://example.com/", "javascript:alert(1)", "http://", "//a/b"),
            *("https:/example.com", "http://a b/", "http://[::1", "http\u017f://example.com/"),
            *("https://example.com:99999/", "https://example.com/\n"),
        ],
    },
    "version": {"read_only": [1]},
}

# Of what a GET gave and a PUT or PATCH takes back.
CHANGES: Table = {
    "version": {
        "null_not_allowed": [None],
        "wrong_type": ["1", True, 1.5, [], {}],
        "too_small": [0, -1],
        "too_large": [2**31, 2**63, 10**99, 1e300],
    },
    "email": {"null_not_allowed": [None]},
    "username": {"null_not_allowed": [None]},
}


def values() -> Iterator[Case]:
    yield from _cases(ACCOUNTS, account, "POST /accounts")
    yield from _cases(ITEMS, item, "POST /items")
    yield from _cases(CHANGES, account, f"PUT {ACCOUNT}")
    yield from _cases(CHANGES, lambda **fields: json.dumps(fields).encode(), f"PATCH {ACCOUNT}")


def _cases(table: Table, valid: Callable[..., bytes], to: str) -> Iterator[Case]:
    for name, codes in table.items():
        for code, wrong in codes.items():
            for value in wrong:
                shown = f"{name} {ascii(value)[:30]}"
                yield send(shown, valid(**{name: value}), f"/{name} {code}", to=to)
