"""What item bodies become, field by field."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.items.schemas import ItemChange, ItemCreate, ItemRead, ItemReplace
from app.resources.fields import FormText

OWNER = UUID("0190a5d0-7f3a-7cc0-8000-000000000001")
REQUIRED = {"account_id": str(OWNER), "name": "Lamp", "image_link": "https://example.com/lamp.jpg"}
SCHEMAS = [ItemCreate, ItemReplace, ItemChange]


def parse(schema: type[BaseModel], **fields: Any) -> dict[str, Any]:
    body = fields if schema is ItemChange else {**REQUIRED, **fields}
    return schema.model_validate(body).model_dump()


def fault(schema: type[BaseModel], field: str, value: Any) -> str:
    """The type of the first error, which must be of this field."""
    with pytest.raises(ValidationError) as refusal:
        parse(schema, **{field: value})
    errors = refusal.value.errors()
    assert {e["loc"][0] for e in errors} == {field}
    return errors[0]["type"]


@pytest.mark.parametrize("schema", SCHEMAS)
class TestPrice:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("19.90", "19.90"),
            ("19.9", "19.90"),
            ("19", "19.00"),
            ("0", "0.00"),
            ("007", "7.00"),
            ("9999999999.99", "9999999999.99"),
            (FormText("19.90"), "19.90"),
            (0, "0.00"),
            (19, "19.00"),
            (9999999999, "9999999999.00"),
            # JSON numbers with a fraction or an exponent come as Decimal.
            (Decimal("19.9"), "19.90"),
            (Decimal("19.900"), "19.90"),
            (Decimal("1e1"), "10.00"),
            (Decimal("1.5e1"), "15.00"),
            (Decimal("1e-2"), "0.01"),
            (Decimal("-0.0"), "0.00"),
            (Decimal("9999999999.99"), "9999999999.99"),
            (Decimal("9999999999.990" + "0" * 80), "9999999999.99"),
        ],
    )
    def test_takes(self, schema: type[BaseModel], value: Any, expected: str) -> None:
        assert str(parse(schema, price=value)["price"]) == expected

    @pytest.mark.parametrize(
        ("value", "code"),
        [
            ("-0.01", "too_small"),
            ("-1", "too_small"),
            (-1, "too_small"),
            (Decimal("-1e-9"), "too_small"),
            ("10000000000", "too_large"),
            ("9" * 40, "too_large"),
            (10**10, "too_large"),
            (10**99, "too_large"),
            (Decimal("9999999999.991"), "too_large"),
            (Decimal("1e300"), "too_large"),
            ("0.001", "invalid_format"),
            ("19.900", "invalid_format"),
            ("-0", "invalid_format"),
            ("00000000001", "invalid_format"),
            (Decimal("0.001"), "invalid_format"),
            (Decimal("19.999"), "invalid_format"),
            (Decimal("1e-300"), "invalid_format"),
            ("", "invalid_format"),
            (" 1", "invalid_format"),
            ("1.", "invalid_format"),
            (".5", "invalid_format"),
            ("+1", "invalid_format"),
            ("1,50", "invalid_format"),
            ("1_000", "invalid_format"),
            ("1e1", "invalid_format"),
            ("NaN", "invalid_format"),
            ("Infinity", "invalid_format"),
            ("٣", "invalid_format"),
            ("9" * 5000, "invalid_format"),
            (True, "wrong_type"),
            (False, "wrong_type"),
            ([], "wrong_type"),
            ({}, "wrong_type"),
        ],
    )
    def test_refuses(self, schema: type[BaseModel], value: Any, code: str) -> None:
        assert fault(schema, "price", value) == code

    def test_null_is_taken(self, schema: type[BaseModel]) -> None:
        assert parse(schema, price=None)["price"] is None


@pytest.mark.parametrize("schema", SCHEMAS)
class TestImageLink:
    @pytest.mark.parametrize(
        "link",
        [
            "https://example.com/lamp.jpg",
            "http://example.com",
            "HTTPS://EXAMPLE.com:8443/Lamp.JPG?size=1&x=%20#top",
            "http://localhost:9000/bucket/lamp.jpg",
            "http://user:secret@example.com/",
            "http://[2001:db8::1]/lamp.jpg",
            "http://192.0.2.1/",
            "https://bücher.example/ä.jpg",
            "https://example.com/a/../b",
            "https://example.com/" + "a" * 980,
        ],
    )
    def test_takes_and_keeps_as_given(self, schema: type[BaseModel], link: str) -> None:
        assert parse(schema, image_link=link)["image_link"] == link

    @pytest.mark.parametrize(
        ("link", "code"),
        [
            ("", "invalid_format"),
            ("example.com/lamp.jpg", "invalid_format"),
            ("/lamp.jpg", "invalid_format"),
            ("ftp://example.com/lamp.jpg", "invalid_format"),
            ("javascript:alert(1)//http://example.com", "invalid_format"),
            ("data:image/png;base64,AAAA", "invalid_format"),
            ("http:example.com", "invalid_format"),
            ("http:/example.com", "invalid_format"),
            ("http://", "invalid_format"),
            ("http:///lamp.jpg", "invalid_format"),
            ("http://?x", "invalid_format"),
            ("http://#x", "invalid_format"),
            ("http://:80/", "invalid_format"),
            ("http://user@/", "invalid_format"),
            ("http://example.com:99999/", "invalid_format"),
            ("http://[::1/", "invalid_format"),
            ("http://exa mple.com/", "invalid_format"),
            ("http://example.com/a b", "invalid_format"),
            (" http://example.com/", "invalid_format"),
            ("http://example.com/\n", "invalid_format"),
            ("http://example.com\\lamp.jpg", "invalid_format"),
            ('http://example.com/"onload="', "invalid_format"),
            ("http://example.com/<b>", "invalid_format"),
            ("https://example.com/" + "a" * 981, "too_long"),
            (5, "wrong_type"),
            (["https://example.com/"], "wrong_type"),
        ],
    )
    def test_refuses(self, schema: type[BaseModel], link: Any, code: str) -> None:
        assert fault(schema, "image_link", link) == code


@pytest.mark.parametrize("schema", SCHEMAS)
class TestFields:
    @pytest.mark.parametrize(
        ("field", "value", "expected"),
        [
            ("account_id", str(OWNER), OWNER),
            ("account_id", str(OWNER).upper(), OWNER),
            ("name", "L", "L"),
            ("name", "\u2003Lamp 1\n", "Lamp 1"),
            ("name", " " + "é" * 50 + " ", "é" * 50),
            ("description", "", ""),
            ("description", " Brass,\n40 cm ", " Brass,\n40 cm "),
            ("description", "é" * 10_000, "é" * 10_000),
            ("description", None, None),
        ],
    )
    def test_takes(self, schema: type[BaseModel], field: str, value: Any, expected: Any) -> None:
        assert parse(schema, **{field: value})[field] == expected

    @pytest.mark.parametrize(
        ("field", "value", "code"),
        [
            ("account_id", OWNER.hex, "invalid_format"),
            ("account_id", "{" + str(OWNER)[1:], "invalid_format"),
            ("account_id", 5, "wrong_type"),
            ("name", "", "string_too_short"),
            ("name", " \t\u00a0", "string_too_short"),
            ("name", "a" * 51, "string_too_long"),
            ("name", 5, "string_type"),
            ("description", "a" * 10_001, "string_too_long"),
            ("description", 5, "string_type"),
        ],
    )
    def test_refuses(self, schema: type[BaseModel], field: str, value: Any, code: str) -> None:
        assert fault(schema, field, value) == code

    @pytest.mark.parametrize("field", ["account_id", "name", "image_link"])
    def test_null_is_refused(self, schema: type[BaseModel], field: str) -> None:
        fault(schema, field, None)


class TestBodies:
    def test_replace_gives_a_value_to_what_is_left_out(self) -> None:
        body = ItemReplace.model_validate(REQUIRED)
        assert body.values() == {
            **REQUIRED,
            "account_id": OWNER,
            "price": None,
            "description": None,
        }

    def test_change_leaves_it_out(self) -> None:
        assert ItemChange.model_validate({}).values() == {}
        assert ItemChange.model_validate({"price": None}).values() == {"price": None}

    def test_create_takes_no_system_fields(self) -> None:
        for field in ("id", "created", "updated", "version"):
            assert fault(ItemCreate, field, 1) == "extra_forbidden"

    def test_a_price_is_written_with_two_decimals(self) -> None:
        price = TypeAdapter(ItemRead).json_schema()["properties"]["price"]
        assert price["type"] == "string"
        assert price["pattern"] == r"^[0-9]{1,10}\.[0-9]{2}$"
