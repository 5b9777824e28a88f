"""Countries by their codes and English names.

`country_names.csv` holds the names of UN M49, of the United Nations terminology database and of
Unicode CLDR, from https://github.com/datasets/country-codes (public domain, PDDL 1.0) of May 2026.
"""

import csv
import itertools
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pycountry
import pytest

from app.accounts import countries
from app.accounts.countries import alpha_2
from app.accounts.country_names import NAMES

CODES = {country.alpha_2 for country in pycountry.countries}
ISO_FIELDS = ("name", "official_name", "common_name")


def names_of_sources() -> list[tuple[str, str]]:
    """Each name in each source, with its alpha-2 code."""
    with (Path(__file__).parent / "country_names.csv").open(newline="") as file:
        rows = [list(row.values()) for row in csv.DictReader(file)]
    iso = [
        (getattr(country, field, ""), country.alpha_2)
        for country in pycountry.countries
        for field in ISO_FIELDS
    ]
    # The four-letter code of a former country ends in that of its successor, if it has one.
    former = [(former.name, former.alpha_4[2:]) for former in pycountry.historic_countries]
    names = [(name, code) for code, *names in rows for name in names]
    known = [(name, code) for name, code in former if code in CODES]
    return [(name, code) for name, code in (*names, *iso, *known, *NAMES.items()) if name]


SOURCES = names_of_sources()


def writings(name: str) -> Iterator[str]:
    """Ways to write the same name."""
    yield from (name, name.upper(), name.casefold(), f" {name}\n", f"\u200e{name}\u200f")
    yield unicodedata.normalize("NFD", name)
    yield "".join(c for c in unicodedata.normalize("NFD", name) if not unicodedata.combining(c))
    yield from (name.replace("'", "\u2019"), name.replace("\u2019", "'"))
    yield from (re.sub(r"\band\b", "&", name), name.replace(" & ", "&"), name.replace("&", "and"))
    yield from (name.removeprefix("the "), f"the {name.removeprefix('the ')}", f"{name} (the)")
    yield re.sub(r"\bSaint\b", "St.", name)
    yield re.sub(r"\bSaint ", "St.", name)
    yield re.sub(r"\bSt\b\.?", "Saint", name)
    yield re.sub(r"\bU\.?S\.?(?=\s|$)", "U. S.", name)
    yield name.replace("Republic", "Rep.").replace("Democratic", "Dem.")
    for brackets in ("[]", "--", ", ", "\uff08\uff09"):
        yield name.translate(str.maketrans("()", brackets))
    if ", " in name:
        yield " ".join(reversed(name.split(", ")))


def wide(text: str) -> str:
    """The same letters as Japanese keyboards write them."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


class TestAlpha2:
    def test_knows_every_name_of_every_source_in_every_writing(self) -> None:
        assert {code for _, code in SOURCES} == CODES
        assert len(SOURCES) > 1400
        wrong = {
            (writing, code): alpha_2(writing)
            for name, code in SOURCES
            for writing in writings(name)
            if alpha_2(writing) != code
        }
        assert wrong == {}

    def test_the_order_of_words_makes_no_difference(self) -> None:
        for name, code in SOURCES:
            words = re.split(r"[\s,()]+", name.strip("()"))
            for order in itertools.islice(itertools.permutations(words), 24):
                if len(words) > 1 and all(len(word) > 1 for word in words):
                    assert alpha_2(" ".join(order)) == code, order

    def test_no_name_is_twice_in_the_table_or_known_without_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = [countries._key(name) for name in NAMES]
        assert len(set(keys)) == len(NAMES)
        monkeypatch.setattr(countries, "NAMES", {})
        assert countries._codes().keys() & set(keys) == set()

    @pytest.mark.parametrize("name", ["jp", "JPN", "392", "Japan"])
    def test_wide_letters_and_digits_are_letters_and_digits(self, name: str) -> None:
        assert alpha_2(wide(name)) == "JP"

    @pytest.mark.parametrize(
        "field", ["alpha_2", "alpha_3", "numeric", "name", "official_name", "common_name"]
    )
    def test_knows_every_country_of_iso_3166_by_each_of_its_names(self, field: str) -> None:
        given = {c.alpha_2: getattr(c, field, None) for c in pycountry.countries}
        names = {code: name for code, name in given.items() if name}
        assert len(names) > 10
        assert {code: alpha_2(name) for code, name in names.items()} == {c: c for c in names}

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("jo", "JO"),
            ("JOR", "JO"),
            ("jor", "JO"),
            ("400", "JO"),
            ("004", "AF"),
            ("jordan", "JO"),
            ("JORDAN", "JO"),
            ("the Hashemite Kingdom of Jordan", "JO"),
            ("  Jordan\n", "JO"),
            ("TÜRKİYE", "TR"),
            ("Turkiye", "TR"),
            ("Turkey", "TR"),
            ("Curaçao", "CW"),
            ("CURACAO", "CW"),
            ("Re\u0301union", "RE"),
            ("Côte d\u2019Ivoire", "CI"),
            ("guinea bissau", "GW"),
            ("The Netherlands", "NL"),
            ("Saint Vincent & Grenadines", "VC"),
            ("St. Lucia", "LC"),
            ("St Lucia", "LC"),
            ("ST", "ST"),
            ("U.S.A.", "US"),
            ("u.k.", "GB"),
            ("Republic of Korea", "KR"),
            ("Korea, Republic of", "KR"),
            ("Democratic Republic of the Congo", "CD"),
            ("United Republic of Tanzania", "TZ"),
            ("Congo (Brazzaville)", "CG"),
            ("Brazzaville Congo", "CG"),
            ("Kinshasa, Congo", "CD"),
            ("Congo, Dem. Rep.", "CD"),
            ("Congo, Rep.", "CG"),
            ("Korea, Dem. People's Rep.", "KP"),
            ("Democratic Peoples Republic of Korea", "KP"),
            ("Korea (the Republic of)", "KR"),
            ("Palestine, State of", "PS"),
            ("Virgin Islands (U.S.)", "VI"),
            ("Virgin Islands (British)", "VG"),
            ("Bosnia-Herzegovina", "BA"),
            ("Trinidad/Tobago", "TT"),
            ("St.Lucia", "LC"),
            ("Saint-Martin", "MF"),
            ("U. S. A.", "US"),
            ("Cote dIvoire", "CI"),
            ("Cote d Ivoire", "CI"),
            ("C\u00f4te d\u00b4Ivoire", "CI"),
            ("AND", "AD"),
            ("and", "AD"),
        ],
    )
    def test_case_accents_punctuation_and_order_make_no_difference(
        self, name: str, code: str
    ) -> None:
        assert alpha_2(name) == code

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("Russia", "RU"),
            ("Iran", "IR"),
            ("Syria", "SY"),
            ("Vietnam", "VN"),
            ("South Korea", "KR"),
            ("North Korea", "KP"),
            ("Laos", "LA"),
            ("Bolivia", "BO"),
            ("Moldova", "MD"),
            ("Taiwan", "TW"),
            ("Palestine", "PS"),
            ("Czech Republic", "CZ"),
            ("Czechia", "CZ"),
            ("Swaziland", "SZ"),
            ("Macedonia", "MK"),
            ("Cape Verde", "CV"),
            ("Ivory Coast", "CI"),
            ("East Timor", "TL"),
            ("Burma", "MM"),
            ("Myanmar (Burma)", "MM"),
            ("Holland", "NL"),
            ("Great Britain", "GB"),
            ("UAE", "AE"),
            ("Hong Kong SAR China", "HK"),
            ("Congo - Kinshasa", "CD"),
            ("Trinidad & Tobago", "TT"),
            ("U.S. Virgin Islands", "VI"),
            ("UK", "GB"),
            ("Britain", "GB"),
            ("U.S.", "US"),
            ("U.S.A.", "US"),
            ("America", "US"),
            ("U.A.E.", "AE"),
            ("DRC", "CD"),
            ("D.R. Congo", "CD"),
            ("Congo (DRC)", "CD"),
            ("Hong Kong SAR", "HK"),
            ("Hong Kong, China", "HK"),
            ("Macau", "MO"),
            ("PRC", "CN"),
            ("DPRK", "KP"),
            ("S. Korea", "KR"),
            ("Lao PDR", "LA"),
            ("The Gambia", "GM"),
            ("Faroe Islands", "FO"),
            ("Vatican City State", "VA"),
            ("West Bank and Gaza", "PS"),
            ("Ceylon", "LK"),
            ("Zaire", "CD"),
            ("Upper Volta", "BF"),
            ("FYROM", "MK"),
        ],
    )
    def test_everyday_names(self, name: str, code: str) -> None:
        assert alpha_2(name) == code

    @pytest.mark.parametrize(
        "name",
        [
            *("", " ", ".", "&", "the", "Jord", "J", "XX", "ZZ", "EU", "000", "4", "Kosovo"),
            # Codes and countries that were, and names of more than one.
            *("SU", "AN", "Netherlands Antilles", "Korea", "Virgin Islands"),
            *("Yugoslavia", "Czechoslovakia", "USSR", "Serbia and Montenegro"),
            *("the the", "of", "and the", "''", "()", "Rep.", "St. St.", "\u200b"),
        ],
    )
    def test_none_for_what_names_no_country(self, name: str) -> None:
        assert alpha_2(name) is None
