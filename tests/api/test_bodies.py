"""Bodies are read strictly, and in time that grows with their size alone."""

import contextlib
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.api.bodies.forms import parse_multipart, parse_urlencoded
from app.api.bodies.json_text import MAX_VALUES, parse_json
from app.api.bodies.values import TWICE, Refused, is_text
from app.errors import MalformedBody
from app.resources.fields import FormText
from tests.api.cases import MULTIPART, PARTS_END, part
from tests.complexity import is_linear


def refusal(value: Any) -> Any:
    return value.code if isinstance(value, Refused) else value


def count_values(value: Any) -> int:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + sum(map(count_values, inner))
    return 1


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
        assert parse_json(source) == value

    @pytest.mark.parametrize("number", ["19.90", "1e2", "-0.0", "1.0", "1e307", "5e-300"])
    def test_fractions_stay_as_they_were_written(self, number: str) -> None:
        (value,) = parse_json(f"[{number}]".encode())
        assert isinstance(value, Decimal)
        assert str(value) == str(Decimal(number))

    @pytest.mark.parametrize(
        "number", ["1e308", "1e-308", "1e400", "-1e400", "1e99999999999999999999", "9" * 101]
    )
    def test_numbers_out_of_range_stand_for_themselves(self, number: str) -> None:
        assert refusal(parse_json(f"[{number}]".encode())[0]) == "too_large"

    @pytest.mark.parametrize(
        "text", [r"\u0000", r"a\u0000b", r"\ud800", r"\udfff", r"\uDE00\ud83d"]
    )
    def test_what_is_no_text_stands_for_itself(self, text: str) -> None:
        value = parse_json(f'{{"a": "{text}", "b": ["{text}"]}}'.encode())
        assert refusal(value["a"]) == refusal(value["b"][0]) == "invalid_format"

    @pytest.mark.parametrize("source", [b"1e400", rb'"\ud800"', b"9" * 101])
    def test_as_a_whole_body_it_is_a_value_that_is_no_object(self, source: bytes) -> None:
        assert parse_json(source) == ""

    def test_a_key_that_is_no_text_is_made_one(self) -> None:
        assert parse_json(rb'{"\ud800x": 1, "\u0000": 2}') == {"?x": 1, "\0": 2}

    def test_a_key_given_twice_has_no_value(self) -> None:
        value = parse_json(b'{"a": 1, "b": 2, "a": 1, "c": {"d": 1, "d": 2}}')
        assert {name: refusal(inner) for name, inner in value.items()} == {
            "a": "duplicate",
            "b": 2,
            "c": {"d": TWICE},
        }

    @pytest.mark.parametrize(
        "source",
        [b"", b"{", b"NaN", b"[Infinity]", b"[-Infinity]", b"\xff", b'"\xed\xa0\x80"', b"'a'"],
    )
    def test_malformed(self, source: bytes) -> None:
        with pytest.raises(MalformedBody):
            parse_json(source)

    @pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
    def test_nesting_of_64_is_taken_and_of_65_is_not(self, opening: bytes, closing: bytes) -> None:
        parse_json(opening * 64 + b"1" + closing * 64)
        with pytest.raises(MalformedBody, match="64 levels"):
            parse_json(opening * 65 + b"1" + closing * 65)

    def test_brackets_side_by_side_or_in_text_are_no_nesting(self) -> None:
        assert parse_json(b"[" + b"[]," * 99 + rb'"\"[[[' + b"{" * 99 + b'"]')[0] == []

    @pytest.mark.parametrize(
        ("opening", "value", "closing", "others"),
        [
            (b"[", b"0", b"]", 1),
            (b"[", b"[ ]", b"]", 1),
            (b"[", b"{}", b"]", 1),
            (b"[", b'",[]{}\\""', b"]", 1),
            (b'{"a": {"b": 1, "c": [', b'{"x": 1}', b"]}}", 4),
            (b'{"a": [[[', b'[{"x": []}]', b"]]]}", 4),
        ],
    )
    def test_a_thousand_values_are_taken_and_one_more_is_not(
        self, opening: bytes, value: bytes, closing: bytes, others: int
    ) -> None:
        """others: the values around the repeated ones."""
        each = count_values(json.loads(value))
        times, missing = divmod(MAX_VALUES - others, each)
        values = [value] * times + [b"0"] * missing
        parse_json(opening + b",".join(values) + closing)
        with pytest.raises(MalformedBody, match="1,000 values"):
            parse_json(opening + b" , ".join([*values, b"0"]) + closing)

    @pytest.mark.parametrize("piece", [b"]", b'""', b"{}", b"[]", b","])
    def test_what_is_no_json_is_not_read_to_its_end(self, piece: bytes) -> None:
        with pytest.raises(MalformedBody, match="1,000 values"):
            parse_json(b"[" * 2 + b"," * 1000 + piece * 5000)

    @pytest.mark.parametrize(
        "source",
        [
            lambda n: b'"' + b'\\"' * (n // 2) + b"[" * 65,
            lambda n: b'[ "' + b'\\"' * (n // 2) + b'",' * 2000,
            lambda n: (b"[" + b" " * (n // 64)) * 64,
            lambda n: b"[" * n,
            lambda n: b'{"a":' * (n // 5),
            lambda n: b"9" * n,
            lambda n: b"0." + b"9" * n,
            lambda n: b"[" + b'{"a":1,"a":1},' * (n // 14) + b"1]",
        ],
        ids=["quotes", "texts", "blanks", "brackets", "braces", "digits", "fraction", "twice"],
    )
    def test_no_text_takes_longer_than_its_size(self, source: Callable[[int], bytes]) -> None:
        assert is_linear(parse, source)


def parse(source: bytes) -> None:
    with contextlib.suppress(MalformedBody):
        parse_json(source)


class TestUrlencoded:
    def test_values_are_text_of_a_form_and_empty_ones_null(self) -> None:
        fields = parse_urlencoded(b"a=1&b=&c&d=%C3%A9+%2B&e=x=y")
        assert fields == {"a": "1", "b": None, "c": None, "d": "é +", "e": "x=y"}
        assert isinstance(fields["a"], FormText)

    def test_what_is_no_text_or_given_twice_stands_for_itself(self) -> None:
        fields = parse_urlencoded(b"a=%00&b=1&b=&%00=x&c=1&c=1&c=1")
        expected = {"a": "invalid_format", "b": "duplicate", "\0": "x", "c": "duplicate"}
        assert {name: refusal(value) for name, value in fields.items()} == expected

    @pytest.mark.parametrize("source", [b"a=%ff", b"%ff", b"a=\xff", b"a=%ED%A0%80", b"a&" * 100])
    def test_malformed(self, source: bytes) -> None:
        with pytest.raises(MalformedBody):
            parse_urlencoded(source)

    @given(st.lists(st.sampled_from([*b"%&=+4a1\\xg\n", 0xC3, 0xA9]), max_size=12).map(bytes))
    @example(b"\xc3%a4")
    def test_escapes_mean_what_they_mean_to_others(self, source: bytes) -> None:
        # A byte means the same with and without an escape (URL Standard, 5.1).
        escaped = "".join(chr(byte) if byte < 0x80 else f"%{byte:02x}" for byte in source)
        try:
            pairs = parse_qsl(escaped, keep_blank_values=True, errors="strict")
        except ValueError:
            with pytest.raises(MalformedBody):
                parse_urlencoded(source)
            return
        names = [name for name, _ in pairs]
        expected = {n: v or None for n, v in pairs if "\0" not in v}
        found = {name: refusal(value) for name, value in parse_urlencoded(source).items()}
        assert found == {
            name: "duplicate" if names.count(name) > 1 else expected[name] for name in names
        }

    def test_a_percent_sign_alone_is_itself_as_long_as_there_are_few(self) -> None:
        assert parse_urlencoded(b"a=100%&b=%%41%4&%=%g%") == {"a": "100%", "b": "%A%4", "%": "%g%"}
        assert parse_urlencoded(b"a=" + b"%" * 1000) == {"a": "%" * 1000}
        with pytest.raises(MalformedBody):
            parse_urlencoded(b"a=" + b"%" * 1001)

    @pytest.mark.parametrize("piece", [b"%41", b"%", b"%g", b"%41a", b"%c3%a9", b"+", b"&", b"\\"])
    def test_no_form_takes_longer_than_its_size(self, piece: bytes) -> None:
        def parse(source: bytes) -> None:
            with contextlib.suppress(MalformedBody):
                parse_urlencoded(source)

        assert is_linear(parse, lambda n: b"a=" + piece * (n // len(piece)))

    def test_a_hundred_fields_are_taken(self) -> None:
        assert len(parse_urlencoded(b"&".join(b"f%d=" % n for n in range(100)))) == 100


class TestMultipart:
    def parse(self, *pieces: bytes, media_type: str = MULTIPART) -> dict[str, Any]:
        fields = parse_multipart(b"".join((*pieces, PARTS_END)), media_type)
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
        parsed = parse_multipart(part("a", b"1") + PARTS_END + b"epilogue", MULTIPART)
        assert parsed == {"a": "1"}

    @pytest.mark.parametrize(
        "source",
        [
            b"A preamble\r\nof lines\r\n" + part("a", b"1") + PARTS_END,
            b"\r\n" + part("a", b"1") + PARTS_END,
            part("a", b"1").replace(b"--XX", b"--XX \t ") + PARTS_END,
            part("a", b"1") + b"--XX--  ",
            part("a", b"1") + b"--XX--\t\r\nAn epilogue\r\n--XX\r\nthat is no part",
            part("a", b"1") + b"--XX--",
            b'--XX\r\nContent-Disposition: form-data;\r\n\tname="a"\r\n\r\n1\r\n--XX--',
            b"--XX\r\ncontent-disposition:FORM-DATA; NAME=a\r\n\r\n1\r\n--XX--",
            b'--XX\r\nContent-Disposition: form-data ; x=" ;" ; name="a";\r\n\r\n1\r\n--XX--',
        ],
    )
    def test_what_the_standard_allows_is_taken(self, source: bytes) -> None:
        assert parse_multipart(source, MULTIPART) == {"a": "1"}

    def test_a_part_may_end_with_its_headers(self) -> None:
        source = b"--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n--XX--"
        assert parse_multipart(source, MULTIPART) == {"a": None}

    def test_names_may_hold_quotes_and_what_looks_like_a_boundary_is_text(self) -> None:
        assert self.parse(part(r"a\"\\b\c;", b"-XX\r\n--X\r\n --XX")) == {
            r'a"\b\c;': "-XX\r\n--X\r\n --XX"
        }

    @pytest.mark.parametrize(
        ("parameter", "boundary"),
        [
            ('boundary="a b:c?"', "a b:c?"),
            ("BOUNDARY=----=_Part_1.2", "----=_Part_1.2"),
            (f"boundary={'x' * 70}", "x" * 70),
            ("charset=utf-8;boundary=a+b", "a+b"),
        ],
    )
    def test_boundaries(self, parameter: str, boundary: str) -> None:
        source = (part("a", b"1") + PARTS_END).replace(b"XX", boundary.encode())
        assert parse_multipart(source, f"multipart/form-data; {parameter}") == {"a": "1"}

    @pytest.mark.parametrize(
        ("coding", "content", "value"),
        [
            ("base64", b"w6kg\r\nKw==\r\n", "é +"),
            ("BASE64 ", b"", None),
            ("quoted-printable", b"=C3=A9 =\r\n+", "é +"),
            ("8bit", b"\xc3\xa9 +", "é +"),
            ("7bit", b"w6kgKw==", "w6kgKw=="),
            ("binary", b"=C3=A9", "=C3=A9"),
        ],
    )
    def test_transfer_encodings_are_decoded(
        self, coding: str, content: bytes, value: str | None
    ) -> None:
        assert self.parse(coded(coding, content)) == {"a": value}

    @pytest.mark.parametrize(
        ("coding", "content"), [("base64", b"w6k"), ("base64", b"w6k=%"), ("x-uuencode", b"1")]
    )
    def test_transfer_encodings_that_cannot_be_decoded(self, coding: str, content: bytes) -> None:
        with pytest.raises(MalformedBody):
            self.parse(coded(coding, content))

    def test_a_part_of_parts_is_no_field(self) -> None:
        several = part("a", b"").replace(b"\r\n\r\n", b"\r\nContent-Type: multipart/mixed\r\n\r\n")
        assert self.parse(several, part("b", b"", "; filename*=utf-8''b")) == {
            "a": "wrong_type",
            "b": "wrong_type",
        }

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
            parse_multipart(part("a", b"1") + end, MULTIPART)

    @pytest.mark.parametrize("parameters", ["", "; boundary=YY", "; boundary=" + "X" * 999, "; x"])
    def test_without_its_boundary_it_is_no_body(self, parameters: str) -> None:
        with pytest.raises(MalformedBody):
            self.parse(part("a", b"1"), media_type=f"multipart/form-data{parameters}")

    @pytest.mark.parametrize(
        "piece",
        [
            b"--XX\r\n\r\nx\r\n",
            b"--XX\r\n",
            b"--XX\r\nx\r\n\r\nx\r\n",
            b'--XX\r\nContent-Disposition: form-data; name="a"\r\n',
            b'--XX\r\nContent-Disposition: attachment; name="a"\r\n\r\n\r\n',
            b"--XX\r\nContent-Disposition:\r\n\r\n\r\n",
            part("a", b"1").replace(b"--XX", b"--XXX"),
            part("a", b"1", "; name=b"),
            part("a", b"1", '; x="'),
            part("a", b"1", "; x"),
            part("a", b"1", "\r\nContent-Disposition: form-data; name=b"),
            part("a", b"1", "\r\nX: " + "x" * 4096),
            part("\xff", b""),
            part("a", b"\xff"),
        ],
    )
    def test_malformed_parts(self, piece: bytes) -> None:
        with pytest.raises(MalformedBody):
            self.parse(part("b", b"1"), piece)

    @pytest.mark.parametrize("filling", [b"\r\n--", b"\r\n--X", b"\r\n--XX\r", b"\r\n--XX-", b"\r"])
    def test_no_body_takes_longer_than_its_size(self, filling: bytes) -> None:
        def parse(source: bytes) -> None:
            with contextlib.suppress(MalformedBody):
                parse_multipart(source, MULTIPART)

        assert is_linear(parse, lambda n: part("a", filling * (n // len(filling))))

    @pytest.mark.parametrize("filling", [b";", b";a=1", b'";', b"\\", b" ", b"\r\n ", b"\r\nX:"])
    def test_nor_do_headers(self, filling: bytes) -> None:
        def parse(source: bytes) -> None:
            with contextlib.suppress(MalformedBody):
                parse_multipart(source, MULTIPART)
            with contextlib.suppress(MalformedBody):
                parse_multipart(b"", f'multipart/form-data; a="{source.decode()}')

        head = b'--XX\r\nContent-Disposition: form-data; name="a"; filename="'
        assert is_linear(parse, lambda n: head + filling * (n // len(filling)) + PARTS_END)


def coded(coding: str, content: bytes) -> bytes:
    """A part with a Content-Transfer-Encoding."""
    return part("a", content, f"\r\nContent-Transfer-Encoding: {coding}")


@pytest.mark.parametrize(
    ("value", "expected"), [("", True), ("é", True), ("\0", False), ("a\ud800", False)]
)
def test_text_is_what_utf_8_can_say_without_nul(value: str, expected: bool) -> None:
    assert is_text(value) is expected
