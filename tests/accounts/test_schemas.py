"""What account bodies become, field by field."""

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.accounts.schemas import AccountChange, AccountCreate, AccountRead, AccountReplace
from app.errors import InvalidRequest
from app.resources.fields import FormText
from app.resources.preconditions import Precondition

REQUIRED = {"email": "ada@example.com", "username": "ada"}
ID = UUID("0190a5d0-7f3a-7cc0-8000-000000000001")
INSTANT = "2026-01-31T09:30:00.000000Z"
AS_READ = {**REQUIRED, "id": str(ID), "created": INSTANT, "updated": INSTANT, "version": 3}


def parse(schema: type[BaseModel], **fields: Any) -> dict[str, Any]:
    body = fields if schema is AccountChange else {**REQUIRED, **fields}
    return schema.model_validate(body).model_dump()


def faults(schema: type[BaseModel], **fields: Any) -> dict[str, str]:
    """The type of the first error of each field."""
    body = fields if schema is AccountChange else {**REQUIRED, **fields}
    with pytest.raises(ValidationError) as refusal:
        schema.model_validate(body)
    return {str(e["loc"][0]): e["type"] for e in reversed(refusal.value.errors())}


# Characters that are shown as nothing, and those that control how others are shown.
INVISIBLE = [
    *(
        "\u00ad",
        "\u034f",
        "\u061c",
        "\u115f",
        "\u1160",
        "\u17b4",
        "\u180e",
        "\u200b",
        "\u200d",
        "\u2060",
    ),
    *(
        "\u2064",
        "\u2800",
        "\u3164",
        "\ufe0f",
        "\ufeff",
        "\uffa0",
        "\ufffa",
        "\U0001d159",
        "\U000e0020",
    ),
]
CONTROL = [
    *(char for char in map(chr, range(1, 256)) if unicodedata.category(char) == "Cc"),
    *("\u2028", "\u2029", "\u202a", "\u202e", "\u2066", "\u2069"),
]


TODAY = datetime.now(UTC).date()


@pytest.mark.parametrize("schema", [AccountCreate, AccountReplace, AccountChange])
class TestFields:
    @pytest.mark.parametrize(
        ("field", "value", "expected"),
        [
            ("email", "Ada@EXAMPLE.com", "Ada@example.com"),
            ("email", "\u00a0\t ada@example.com\u2003\r\n", "ada@example.com"),
            ("email", "\ufeffada@example.com\u200b ", "ada@example.com"),
            ("email", " " * 300 + "ada@example.com" + "\n" * 300, "ada@example.com"),
            ("username", "a", "a"),
            ("username", "\n\x1fada\x85\u2028", "ada"),
            (
                "username",
                "\u0639\u0644\u06cc\u200c\u067e\u0648\u0631",
                "\u0639\u0644\u06cc\u200c\u067e\u0648\u0631",
            ),
            (
                "username",
                "\U0001f468\u200d\U0001f467",
                "\U0001f468\u200d\U0001f467",
            ),  # one emoji of two
            ("username", "\u3164a", "\u3164a"),
            ("username", "!", "!"),
            ("username", "a" * 100, "a" * 100),
            ("username", "  ada l.\u00a0\n", "ada l."),
            ("username", " " + "a" * 100 + " ", "a" * 100),
            ("username", "\U0001f600" * 100, "\U0001f600" * 100),
            ("dob", "1900-01-01", date(1900, 1, 1)),
            ("dob", "2000-02-29", date(2000, 2, 29)),
            ("dob", str(TODAY - timedelta(days=1)), TODAY - timedelta(days=1)),
            ("country", "jordan", "JO"),
            ("country", FormText("400"), "JO"),
            ("country", "U.K.", "GB"),
            ("country", "Burma", "MM"),
            ("country", "Congo (Brazzaville)", "CG"),
            ("phone_number", "+962 79 000 0000", "+962790000000"),
            ("dob", None, None),
            ("country", None, None),
            ("phone_number", None, None),
        ],
    )
    def test_takes(self, schema: type[BaseModel], field: str, value: Any, expected: Any) -> None:
        parsed = parse(schema, **{field: value})[field]
        assert parsed == expected
        assert type(parsed) is type(expected)

    @pytest.mark.parametrize(
        ("field", "value", "code"),
        [
            ("email", "ada", "invalid_format"),
            ("email", "a" * 255, "too_long"),
            ("email", 1, "wrong_type"),
            ("username", "", "string_too_short"),
            ("username", " \t\u2003", "string_too_short"),
            ("username", "a" * 101, "string_too_long"),
            *(("username", f"a{char}b", "invalid_format") for char in CONTROL),
            *(("username", char * 3, "invalid_format") for char in INVISIBLE),
            ("username", " \u200b \u3164", "invalid_format"),
            ("username", 1, "string_type"),
            ("username", True, "string_type"),
            ("dob", "1899-12-31", "too_small"),
            ("dob", str(TODAY), "too_large"),
            ("dob", "9999-12-31", "too_large"),
            ("dob", "2001-02-29", "invalid_format"),
            ("dob", "1990-5-17", "invalid_format"),
            ("dob", "1990-05-17T00:00:00", "invalid_format"),
            ("dob", "17.05.1990", "invalid_format"),
            ("dob", " 1990-05-17", "invalid_format"),
            ("dob", "", "invalid_format"),
            ("dob", 0, "wrong_type"),
            ("dob", Decimal("0.5"), "wrong_type"),
            ("country", "", "invalid_format"),
            ("country", "Atlantis", "invalid_format"),
            ("country", "J" * 101, "invalid_format"),
            ("country", 400, "wrong_type"),
            ("phone_number", "0790000000", "invalid_format"),
            ("phone_number", "", "invalid_format"),
            ("phone_number", "+" + "9" * 50, "too_long"),
            ("phone_number", 962790000000, "wrong_type"),
        ],
    )
    def test_refuses(self, schema: type[BaseModel], field: str, value: Any, code: str) -> None:
        assert faults(schema, **{field: value}) == {field: code}

    def test_a_national_number_needs_its_country_in_the_same_body(
        self, schema: type[BaseModel]
    ) -> None:
        parsed = parse(schema, country="Jordan", phone_number="0790000000")
        assert (parsed["country"], parsed["phone_number"]) == ("JO", "+962790000000")
        for country in ({}, {"country": None}, {"country": "US"}):
            assert faults(schema, phone_number="0790000000", **country) == {
                "phone_number": "invalid_format"
            }

    def test_the_country_alone_is_at_fault_where_the_number_cannot_be_judged(
        self, schema: type[BaseModel]
    ) -> None:
        found = faults(schema, country="Atlantis", phone_number="0790000000")
        assert found == {"country": "invalid_format"}

    def test_all_faults_are_found_together(self, schema: type[BaseModel]) -> None:
        found = faults(schema, email="", username="", dob="", country="", phone_number=5, x=1)
        assert set(found) == {"email", "username", "dob", "country", "phone_number", "x"}


class TestCreate:
    def test_what_is_optional_is_null_when_left_out(self) -> None:
        nothing = {"dob": None, "country": None, "phone_number": None}
        assert parse(AccountCreate) == {**REQUIRED, **nothing}

    def test_takes_no_system_fields(self) -> None:
        found = faults(AccountCreate, id=str(ID), created=INSTANT, updated=INSTANT, version=1)
        assert set(found.values()) == {"extra_forbidden"}
        assert set(found) == {"id", "created", "updated", "version"}


class TestReplace:
    def test_what_is_optional_is_null_when_left_out(self) -> None:
        body = AccountReplace.model_validate(REQUIRED)
        assert body.values() == {**REQUIRED, "dob": None, "country": None, "phone_number": None}

    def test_requires_what_is_required(self) -> None:
        with pytest.raises(ValidationError) as refusal:
            AccountReplace.model_validate({})
        assert {e["loc"][0] for e in refusal.value.errors()} == {"email", "username"}


class TestChange:
    def test_what_is_left_out_stays_out(self) -> None:
        assert AccountChange.model_validate({}).values() == {}
        body = AccountChange.model_validate({"country": None, "username": "b"})
        assert body.values() == {"country": None, "username": "b"}

    @pytest.mark.parametrize("field", ["email", "username"])
    def test_clears_nothing_that_is_required(self, field: str) -> None:
        assert set(faults(AccountChange, **{field: None})) == {field}


@pytest.mark.parametrize("schema", [AccountReplace, AccountChange])
class TestSystemFields:
    def test_taken_as_read_and_never_written(
        self, schema: type[AccountReplace | AccountChange]
    ) -> None:
        body = schema.model_validate(AS_READ)
        assert not {"id", "created", "updated", "version"} & body.values().keys()
        assert body.precondition(ID, Precondition()) == Precondition(frozenset({3}))

    def test_the_version_counts_together_with_the_header(
        self, schema: type[AccountReplace | AccountChange]
    ) -> None:
        body = schema.model_validate(AS_READ)
        assert body.precondition(ID, Precondition(missing=True)) == Precondition(frozenset({3}))
        agreeing = Precondition(frozenset({2, 3}))
        assert body.precondition(ID, agreeing) == Precondition(frozenset({3}))
        other = Precondition(frozenset({2}))
        assert body.precondition(ID, other) == Precondition(frozenset())

    def test_the_header_alone_counts_without_a_version(
        self, schema: type[AccountReplace | AccountChange]
    ) -> None:
        header = Precondition(frozenset({2}))
        assert schema.model_validate(REQUIRED).precondition(ID, header) is header

    def test_the_id_of_another_is_refused(
        self, schema: type[AccountReplace | AccountChange]
    ) -> None:
        other = UUID(int=ID.int + 1)
        with pytest.raises(InvalidRequest) as refusal:
            schema.model_validate(AS_READ).precondition(other, Precondition())
        [fault] = refusal.value.errors
        assert (fault["pointer"], fault["code"]) == ("/id", "read_only")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("version", 3),
            ("version", Decimal("3.0")),
            ("version", FormText("3")),
            ("version", 2**31 - 1),
            ("id", str(ID).upper()),
            ("created", object()),
            ("updated", "yesterday"),
        ],
    )
    def test_takes(self, schema: type[BaseModel], field: str, value: Any) -> None:
        parse(schema, **{field: value})

    @pytest.mark.parametrize(
        ("field", "value", "code"),
        [
            ("version", 0, "greater_than_equal"),
            ("version", -1, "greater_than_equal"),
            ("version", 2**31, "less_than_equal"),
            ("version", 10**99, "less_than_equal"),
            ("version", Decimal("1e300"), "less_than_equal"),
            ("version", Decimal("-1e300"), "greater_than_equal"),
            ("version", FormText("99999999999"), "less_than_equal"),
            ("version", Decimal("1.5"), "wrong_type"),
            ("version", FormText("-1"), "wrong_type"),
            ("version", FormText("٣"), "wrong_type"),
            ("version", "3", "wrong_type"),
            ("version", True, "wrong_type"),
            ("id", "0190a5d07f3a7cc08000000000000001", "invalid_format"),
            ("id", "-" * 36, "invalid_format"),
            ("id", 5, "wrong_type"),
        ],
    )
    def test_refuses(self, schema: type[BaseModel], field: str, value: Any, code: str) -> None:
        assert faults(schema, **{field: value}) == {field: code}

    @pytest.mark.parametrize("field", ["id", "version"])
    def test_are_never_null(self, schema: type[BaseModel], field: str) -> None:
        assert set(faults(schema, **{field: None})) == {field}


class TestRead:
    def test_instants_are_utc_with_six_digits(self) -> None:
        east = datetime.fromisoformat("2026-01-31T12:30:00+03:00")
        row = {**parse(AccountCreate), "id": ID, "created": east, "updated": east, "version": 1}
        written = TypeAdapter(AccountRead).dump_python(cast(AccountRead, row), mode="json")
        assert written["created"] == written["updated"] == INSTANT

    def test_the_schema_states_what_is_checked(self) -> None:
        fields = AccountCreate.model_json_schema()["properties"]
        assert re.search(fields["email"]["pattern"], "b\xfccher@b\xfccher.example")
        assert fields["email"]["maxLength"] == 254
        assert (fields["username"]["minLength"], fields["username"]["maxLength"]) == (1, 100)
        takes = re.compile(fields["username"]["pattern"]).search
        assert all(takes(text) for text in ("a", "\r\n a\x1f", "\u2003\n\u2003a\x85", "\U0001f600"))
        assert not any(takes(text) for text in ("", " \n\x1f", "a\x00", "\x07a", "a\x1bb", "\x7f"))
        assert fields["dob"]["anyOf"][0]["format"] == "date"
        assert AccountCreate.model_json_schema()["additionalProperties"] is False
