"""Bodies are read strictly, and in time that grows with their size alone."""

import contextlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from app.api import bodies
from app.errors import MalformedBody
from app.resources.fields import FormText
from tests.api.cases import MULTIPART, PARTS_END, part
from tests.complexity import is_linear


def refusal(value: Any) -> Any:
    return value.code if isinstance(value, bodies.Refused) else value


class TestJson:
    @pytest.mark.parametrize(
        ("source", "value"),
        [
            (b'{"a": [1, "b", true, null]}', {"a": [1, "b", True, None]}),
            (b'"\xf0\x9f\x98\x80"', "\U0001f600"),
            (rb'"\ud83d\ude00"', "\U0001f600"),
            (rb'"\\ud800 \\u0000"', r"\ud800 \u0000"),
            (b" 7 ", 7),
            (b"1" * 100, int("1" * 100)),
        ],
    )
    def test_well_formed(self, source: bytes, value: Any) -> None:
        assert bodies.parse_json(source) == value

    @pytest.mark.parametrize("number", ["19.90", "1e2", "-0.0", "1.0", "1e307", "5e-300"])
    def test_fractions_stay_as_they_were_written(self, number: str) -> None:
        (value,) = bodies.parse_json(f"[{number}]".encode())
        assert isinstance(value, Decimal)
        assert str(value) == str(Decimal(number))

    @pytest.mark.parametrize(
        "number", ["1e308", "1e-308", "1e400", "-1e400", "1e99999999999999999999", "9" * 101]
    )
    def test_numbers_out_of_range_stand_for_themselves(self, number: str) -> None:
        assert refusal(bodies.parse_json(f"[{number}]".encode())[0]) == "too_large"

    @pytest.mark.parametrize(
        "text", [r"\u0000", r"a\u0000b", r"\ud800", r"\udfff", r"\uDE00\ud83d"]
    )
    def test_what_is_no_text_stands_for_itself(self, text: str) -> None:
        value = bodies.parse_json(f'{{"a": "{text}", "b": ["{text}"]}}'.encode())
        assert refusal(value["a"]) == refusal(value["b"][0]) == "invalid_format"

    @pytest.mark.parametrize("source", [b"1e400", rb'"\ud800"', b"9" * 101])
    def test_as_a_whole_body_it_is_a_value_that_is_no_object(self, source: bytes) -> None:
        assert bodies.parse_json(source) == ""

    def test_a_key_that_is_no_text_is_made_one(self) -> None:
        assert bodies.parse_json(rb'{"\ud800x": 1, "\u0000": 2}') == {"?x": 1, "\0": 2}

    def test_a_key_given_twice_has_no_value(self) -> None:
        value = bodies.parse_json(b'{"a": 1, "b": 2, "a": 1, "c": {"d": 1, "d": 2}}')
        assert {name: refusal(inner) for name, inner in value.items()} == {
            "a": "duplicate",
            "b": 2,
            "c": {"d": bodies.TWICE},
        }

    @pytest.mark.parametrize(
        "source",
        [b"", b"{", b"NaN", b"[Infinity]", b"[-Infinity]", b"\xff", b'"\xed\xa0\x80"', b"'a'"],
    )
    def test_malformed(self, source: bytes) -> None:
        with pytest.raises(MalformedBody):
            bodies.parse_json(source)

    @pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
    def test_nesting_of_64_is_taken_and_of_65_is_not(self, opening: bytes, closing: bytes) -> None:
        bodies.parse_json(opening * 64 + b"1" + closing * 64)
        with pytest.raises(MalformedBody, match="64 levels"):
            bodies.parse_json(opening * 65 + b"1" + closing * 65)

    def test_brackets_side_by_side_or_in_text_are_no_nesting(self) -> None:
        assert bodies.parse_json(b"[" + b"[]," * 99 + rb'"\"[[[' + b"{" * 99 + b'"]')[0] == []

    @pytest.mark.parametrize(
        "source",
        [
            lambda n: b'"' + b'\\"' * (n // 2) + b"[" * 65,
            lambda n: b"[" * n,
            lambda n: b'{"a":' * (n // 5),
            lambda n: b"9" * n,
            lambda n: b"0." + b"9" * n,
            lambda n: b"[" + b'{"a":1,"a":1},' * (n // 14) + b"1]",
        ],
        ids=["quotes", "brackets", "braces", "digits", "fraction", "twice"],
    )
    def test_no_text_takes_longer_than_its_size(self, source: Callable[[int], bytes]) -> None:
        assert is_linear(parse, source)


def parse(source: bytes) -> None:
    with contextlib.suppress(MalformedBody):
        bodies.parse_json(source)


class TestUrlencoded:
    def test_values_are_text_of_a_form_and_empty_ones_null(self) -> None:
        fields = bodies.parse_urlencoded(b"a=1&b=&c&d=%C3%A9+%2B&e=x=y")
        assert fields == {"a": "1", "b": None, "c": None, "d": "é +", "e": "x=y"}
        assert isinstance(fields["a"], FormText)

    def test_what_is_no_text_or_given_twice_stands_for_itself(self) -> None:
        fields = bodies.parse_urlencoded(b"a=%00&b=1&b=&%00=x&c=1&c=1&c=1")
        expected = {"a": "invalid_format", "b": "duplicate", "\0": "x", "c": "duplicate"}
        assert {name: refusal(value) for name, value in fields.items()} == expected

    @pytest.mark.parametrize("source", [b"a=%ff", b"%ff", b"a=\xff", b"a=%ED%A0%80", b"a&" * 100])
    def test_malformed(self, source: bytes) -> None:
        with pytest.raises(MalformedBody):
            bodies.parse_urlencoded(source)

    def test_a_hundred_fields_are_taken(self) -> None:
        assert len(bodies.parse_urlencoded(b"&".join(b"f%d=" % n for n in range(100)))) == 100


class TestMultipart:
    def parse(self, *pieces: bytes, media_type: str = MULTIPART) -> dict[str, Any]:
        fields = bodies.parse_multipart(b"".join((*pieces, PARTS_END)), media_type)
        return {name: refusal(value) for name, value in fields.items()}

    def test_values_are_text_of_a_form_and_empty_ones_null(self) -> None:
        accented = part("\xc3\xa9", b"\xc3\xa9")
        fields = self.parse(part("a", b"1\r\n2"), part("b", b""), accented)
        assert fields == {"a": "1\r\n2", "b": None, "\xe9": "\xe9"}
        assert isinstance(fields["a"], FormText)

    def test_other_headers_of_a_part_and_text_around_make_no_difference(self) -> None:
        typed = (
            b"--XX\r\nContent-Type: text/plain; charset=utf-16\r\nCONTENT-DISPOSITION: form-data"
        )
        typed += b'; name="a"\r\nX: y\r\n\r\n1\r\n'
        assert self.parse(b"\r\n", typed) == {"a": "1"}
        parsed = bodies.parse_multipart(part("a", b"1") + PARTS_END + b"epilogue", MULTIPART)
        assert parsed == {"a": "1"}

    def test_no_parts(self) -> None:
        assert self.parse() == {}

    def test_files_what_is_no_text_and_what_is_given_twice_stand_for_themselves(self) -> None:
        fields = self.parse(
            part("a", b"\0"),
            part("b", b"\xff", '; filename="b.txt"'),
            part("c", b"1"),
            part("c", b"1"),
        )
        assert fields == {"a": "invalid_format", "b": "wrong_type", "c": "duplicate"}

    @pytest.mark.parametrize("charset", ["utf-16", "unicode_escape", "undefined", "idna", "rot13"])
    def test_the_client_has_no_say_in_the_encoding(self, charset: str) -> None:
        media_type = f"{MULTIPART}; charset={charset}"
        fields = self.parse(part("a", rb"\ud800"), media_type=media_type)
        assert fields == {"a": r"\ud800"}
        with pytest.raises(MalformedBody):
            self.parse(part("a", b"\xff"), media_type=media_type)

    def test_a_hundred_parts_are_taken_and_one_more_is_not(self) -> None:
        many = [part(f"f{number}", b"x") for number in range(101)]
        assert len(self.parse(*many[:100])) == 100
        with pytest.raises(MalformedBody, match="more than 100"):
            self.parse(*many)

    @pytest.mark.parametrize("end", [b"", b"--XX", b"--XX-", b"--YY--\r\n", b"--XX\r\n"])
    def test_without_its_closing_boundary_it_is_no_body(self, end: bytes) -> None:
        with pytest.raises(MalformedBody, match="closing boundary"):
            bodies.parse_multipart(part("a", b"1") + end, MULTIPART)

    @pytest.mark.parametrize("parameters", ["", "; boundary=YY", "; boundary=" + "X" * 999, "; x"])
    def test_without_its_boundary_it_is_no_body(self, parameters: str) -> None:
        with pytest.raises(MalformedBody):
            self.parse(part("a", b"1"), media_type=f"multipart/form-data{parameters}")

    @pytest.mark.parametrize(
        "piece",
        [b"--XX\r\n\r\nx\r\n", b"--XX\r\nx\r\n\r\nx\r\n", part("\xff", b""), part("a", b"\xff")],
    )
    def test_malformed_parts(self, piece: bytes) -> None:
        with pytest.raises(MalformedBody):
            self.parse(part("b", b"1"), piece)

    @pytest.mark.parametrize("filling", [b"\r\n--", b"\r\n--X", b"\r\n--XX\r", b"\r\n--XX-", b"\r"])
    def test_no_body_takes_longer_than_its_size(self, filling: bytes) -> None:
        def parse(source: bytes) -> None:
            with contextlib.suppress(MalformedBody):
                bodies.parse_multipart(source, MULTIPART)

        assert is_linear(parse, lambda n: part("a", filling * (n // len(filling))))


@pytest.mark.parametrize(
    ("value", "is_text"), [("", True), ("é", True), ("\0", False), ("a\ud800", False)]
)
def test_text_is_what_utf_8_can_say_without_nul(value: str, is_text: bool) -> None:
    assert bodies.is_text(value) is is_text
