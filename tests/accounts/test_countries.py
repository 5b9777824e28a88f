"""Countries by their codes and English names."""

import pycountry
import pytest

from app.accounts.countries import alpha_2


class TestAlpha2:
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
        ],
    )
    def test_none_for_what_names_no_country(self, name: str) -> None:
        assert alpha_2(name) is None
