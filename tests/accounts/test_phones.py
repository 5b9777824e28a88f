"""Phone numbers to E.164."""

import itertools
import random
import sys
from pathlib import Path
from types import FrameType

import phonenumbers
import pytest

from app.accounts.phones import MAX_DIGITS, e164


class TestE164:
    @pytest.mark.parametrize(
        "text",
        [
            "+962790000000",
            "+962 79 000 0000",
            "+962-79-000-0000",
            "+962 (0) 79 000 0000",
            "(+962) 79/000.0000",
            " +962790000000\n",
            "\uff0b962790000000",
            "+٩٦٢٧٩٠٠٠٠٠٠٠",
            "\u202a+962\u00a079\u00a0000\u00a00000\u202c",  # as copied from an address book
            "\u200e+\u200e962\u206079\ufeff000\u00ad0000",
            "[+962] 79\u00b7000\u00b70000",
            "\uff0b\uff19\uff16\uff12\uff08\uff10\uff09\uff17\uff19\uff0d\uff10\uff10\uff10\uff0d\uff10\uff10\uff10\uff10",
        ],
    )
    @pytest.mark.parametrize("country", [None, "JO", "US", "AQ"])
    def test_an_international_number_needs_no_country(self, text: str, country: str | None) -> None:
        assert e164(text, country) == "+962790000000"

    @pytest.mark.parametrize(
        ("text", "country", "expected"),
        [
            ("0790000000", "JO", "+962790000000"),
            ("790000000", "JO", "+962790000000"),
            ("00962790000000", "JO", "+962790000000"),
            ("(201) 555-0123", "US", "+12015550123"),
            ("030/123456", "DE", "+4930123456"),
            ("02 1234567", "IT", "+39021234567"),  # Italy keeps its zero
            (
                "\uff10\uff19\uff10\uff0d\uff11\uff12\uff13\uff14\uff0d\uff15\uff16\uff17\uff18",
                "JP",
                "+819012345678",
            ),
            (
                "\uff08\uff10\uff13\uff09\uff11\uff12\uff13\uff14\uff0e\uff15\uff16\uff17\uff18",
                "JP",
                "+81312345678",
            ),
            (
                "\uff10\uff13\uff0f\uff11\uff12\uff13\uff14\u3000\uff15\uff16\uff17\uff18",
                "JP",
                "+81312345678",
            ),
            ("090\u30fc1234\uff705678", "JP", "+819012345678"),  # long vowel marks as hyphens
            ("090\u30fb1234\uff655678", "JP", "+819012345678"),
            ("06\u202f12\u202f34\u202f56\u202f78", "FR", "+33612345678"),
            ("06\u200912\u200934\u200956\u200978", "FR", "+33612345678"),
            ("06.12.34.56.78", "FR", "+33612345678"),
            ("06\t12\t34\t56\t78", "FR", "+33612345678"),
            ("04\u05be123\u05be4567", "IL", "+97241234567"),
        ],
    )
    def test_a_national_number_belongs_to_its_country(
        self, text: str, country: str, expected: str
    ) -> None:
        assert e164(text, country) == expected

    @pytest.mark.parametrize(
        ("text", "country"),
        [
            ("0790000000", None),
            ("0790000000", "AQ"),  # a country without a numbering plan
            ("+0962790000000", None),
            ("+9627900000000000", None),
            ("+999123456789", None),
            ("112", "JO"),
            ("1", "JO"),
            ("0" * 50, "JO"),
            ("", "JO"),
            ("+", None),
            ("()", "JO"),
            ("nonsense", "JO"),
        ],
    )
    def test_none_for_what_is_no_number(self, text: str, country: str | None) -> None:
        assert e164(text, country) is None

    @pytest.mark.parametrize(
        ("text", "country"),
        [
            ("+962790000000 ext. 5", None),
            ("+962 79 000 0000 x5", None),
            ("+12015550123;ext=44", None),
            ("+12015550123;isub=12345", None),
            ("+962790000000/+962790000001", None),
            ("0790000000 or 0790000001", "JO"),
            ("+962790000000 (Ada)", None),
            ("call +962790000000", None),
            ("#0790000000", "JO"),
            ("*67 0790000000", "JO"),
            ("+49 30 123456\u00b2", None),  # the mark of a footnote
            ("+49 30 12345\u2460", None),
            ("+49 30 123456\u301c8", None),  # a range
            ("+49 30 123456+8", None),
            ("+49 30 123456,8", None),
            ("\u2121 030 123456", "DE"),
        ],
    )
    def test_none_where_something_would_be_lost(self, text: str, country: str | None) -> None:
        assert e164(text, country) is None

    @pytest.mark.parametrize("text", ["+49301234567890123", "+4930123456789012"])
    def test_none_for_more_digits_than_e164_has(self, text: str) -> None:
        assert phonenumbers.is_valid_number(phonenumbers.parse(text))
        assert e164(text, None) is None

    def test_white_space_hyphens_and_wide_signs_of_every_kind_group_digits(self) -> None:
        spaces = [c for c in map(chr, range(sys.maxunicode + 1)) if c.isspace()]
        hyphens = [*"-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"]
        wide = [*"\uff08\uff09\uff0e\uff0f\uff3b\uff3d"]
        assert {"\u202f", "\u2009", "\t", "\u3000", "\u2028"} <= set(spaces)
        for mark in (*spaces, *hyphens, *wide):
            assert e164(f"+962{mark}79{mark}000{mark * 2}0000{mark}", None) == "+962790000000", mark

    def test_what_it_gives_it_takes_again(self) -> None:
        for region in phonenumbers.SUPPORTED_REGIONS:
            example = phonenumbers.example_number(region)
            assert example is not None
            national = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.NATIONAL)
            number = e164(national, region)
            assert number is not None, region
            assert e164(number, None) == number


def parsed(text: str) -> str | None:
    """What the library makes of an international number."""
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    normal = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return normal if len(normal) <= len("+") + MAX_DIGITS else None


def examples() -> list[tuple[int, str]]:
    """Calling codes with national numbers of each kind: mobile, fixed, toll-free and others."""
    made = []
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        for region, kind in itertools.product(regions, phonenumbers.PhoneNumberType.values()):
            example = (
                phonenumbers.example_number_for_non_geo_entity(code)
                if region == "001"
                else phonenumbers.example_number_for_type(region, kind)
            )
            if example is not None:
                made.append((code, phonenumbers.national_significant_number(example)))
    return made


@pytest.mark.slow
def test_it_agrees_with_the_library_on_numbers_of_all_countries() -> None:
    chance = random.Random(1)
    numbers = examples()
    assert len({code for code, _ in numbers}) == len(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
    accepted = 0
    for _ in range(100_000):
        code, national = chance.choice(numbers)
        digits = list(national)
        for _ in range(chance.choice((0, 0, 1, 2, 4))):
            digits[chance.randrange(len(digits))] = chance.choice("0123456789")
        before, after = chance.choice(
            (("", ""),) * 6 + (("0", ""), ("1", ""), ("8", ""), ("", "5"))
        )
        text = f"+{code}{before}{''.join(digits)}{after}"
        assert e164(text, None) == parsed(text), text
        accepted += e164(text, None) == text
    assert 30_000 < accepted < 90_000


def test_patterns_are_compiled_once_however_many_countries_there_are() -> None:
    examples = [
        phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
        for number in map(phonenumbers.example_number, phonenumbers.SUPPORTED_REGIONS)
        if number
    ]
    compiled = []

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if (event, code.co_name, Path(code.co_filename).name) == (
            "call",
            "compile",
            "_compiler.py",
        ):
            compiled.append(frame.f_locals["p"])

    def read_all() -> None:
        assert None not in [e164(example, None) for example in examples]

    read_all()
    sys.setprofile(note)
    try:
        read_all()
    finally:
        sys.setprofile(None)
    assert len(examples) > 200
    assert compiled == []
