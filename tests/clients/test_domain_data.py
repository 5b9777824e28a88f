"""The API accepts all real emails, dates of birth, countries, phone numbers and ids.

A schema cannot describe these, so the tests that generate data from it do not cover them.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any

import httpx
import phonenumbers
import pycountry
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from app.accounts.country_names import NAMES
from tests.factories import account_body, create_account, create_item, item_body

pytestmark = pytest.mark.slow  # thousands of requests

bounded = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

COUNTRY_FIELDS = ("alpha_2", "alpha_3", "numeric", "name", "official_name", "common_name")
KINDS_OF_NUMBER = (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE)
WRITINGS = (
    PhoneNumberFormat.E164,
    PhoneNumberFormat.INTERNATIONAL,
    PhoneNumberFormat.NATIONAL,
)


def country_forms() -> Iterator[tuple[str, str]]:
    """Each code and name of each country, with its alpha-2 code."""
    for country in pycountry.countries:
        for field in COUNTRY_FIELDS:
            if form := getattr(country, field, None):
                yield form, country.alpha_2
    yield from NAMES.items()


def phone_numbers() -> Iterator[tuple[str, str, str]]:
    """The code of each country, an example number in each notation, and the number in E.164."""
    known = {country.alpha_2 for country in pycountry.countries}
    for region, kind in product(sorted(phonenumbers.SUPPORTED_REGIONS & known), KINDS_OF_NUMBER):
        if number := phonenumbers.example_number_for_type(region, kind):
            normal = phonenumbers.format_number(number, PhoneNumberFormat.E164)
            for writing in WRITINGS:
                yield region, phonenumbers.format_number(number, writing), normal


def is_email(text: str) -> bool:
    try:
        validate_email(text, check_deliverability=False)
    except EmailNotValidError:
        return False
    return True


# Letters of many scripts. Each label and each part of a name uses one script only.
SCRIPTS = ("abcxyz0189", "äéñøßž", "абвя", "αβγω", "אבגת", "ابجي", "अआकल", "日本語字", "한국어")
words = st.sampled_from(SCRIPTS).flatmap(lambda letters: st.text(letters, min_size=1, max_size=12))
local_parts = st.lists(
    st.text("abcXYZ019!#$%&'*+-/=?^_`{|}~", min_size=1, max_size=12) | words, min_size=1, max_size=3
).map(".".join)
domains = st.builds(
    "{}.{}".format,
    st.lists(words, min_size=1, max_size=3).map(".".join),
    st.sampled_from(["com", "ORG", "jo", "museum", "рф", "中国", "الاردن", "xn--p1ai"]),
)
emails = st.builds("{}@{}".format, local_parts, domains).filter(is_email)
dates = st.dates(date(1900, 1, 1), datetime.now(UTC).date() - timedelta(days=1))
cases = st.sampled_from([str, str.upper, str.lower, str.swapcase, str.title])


async def accepted(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, (answer.text, answer.request.content)
    body: dict[str, Any] = answer.json()
    return body


class TestAccount:
    @bounded
    @example("o'neil+tag@sub.example-1.com", date(1900, 1, 1), ("Åland Islands", "AX"), str.upper)
    @example("user@bücher.example.com", date(2000, 2, 29), ("Côte d'Ivoire", "CI"), str.lower)
    @given(emails, dates, st.sampled_from(list(country_forms())), cases)
    async def test_takes_valid_data_as_json_and_as_forms(
        self,
        client: httpx.AsyncClient,
        email: str,
        dob: date,
        country: tuple[str, str],
        case: Any,
    ) -> None:
        form, code = country
        sent = {"email": email, "username": "ada", "dob": dob.isoformat(), "country": case(form)}
        expected = {
            "email": validate_email(email, check_deliverability=False).normalized,
            "dob": dob.isoformat(),
            "country": code,
        }
        made = await accepted(await client.post("/accounts", json=sent), 201)
        path = f"/accounts/{made['id']}"
        parts = {name: (None, value) for name, value in sent.items()}
        changed = await client.patch(path, json=sent)
        for answer in (
            await client.put(path, data=sent),
            await client.put(path, files=parts),
            changed,
        ):
            assert await accepted(answer) == made
        assert made | expected == made
        local, _, domain = email.rpartition("@")
        if domain.upper().lower() == domain.lower():  # else they are two domains, as ß and SS
            domain = domain.upper()
        asked = {"email": f"{local.upper()}@{domain}"}
        found = await accepted(await client.get("/accounts", params=asked))
        assert found["data"] == [made]
        assert (await client.delete(path)).status_code == 204

    async def test_takes_every_country_in_all_its_forms(self, client: httpx.AsyncClient) -> None:
        account = await create_account(client)
        forms = list(country_forms())
        assert len(forms) > 1000
        for form, code in forms:
            changed = await client.patch(f"/accounts/{account['id']}", json={"country": form})
            assert (await accepted(changed))["country"] == code
        for start in range(0, len(forms), 50):
            query = {"country": [form for form, _ in forms[start : start + 50]]}
            await accepted(await client.get("/accounts", params=query))

    async def test_takes_phone_numbers_of_every_country(self, client: httpx.AsyncClient) -> None:
        account = await create_account(client)
        numbers = list(phone_numbers())
        assert len({region for region, _, _ in numbers}) > 230
        for region, written, normal in numbers:
            body = {"country": region, "phone_number": written}
            changed = await client.patch(f"/accounts/{account['id']}", json=body)
            assert (await accepted(changed))["phone_number"] == normal, body


class TestReferences:
    async def test_take_every_id_that_was_given(self, client: httpx.AsyncClient) -> None:
        owners = [(await create_account(client))["id"] for _ in range(5)]
        items = [await create_item(client, owner) for owner in owners]
        for owner, item in product(owners, items):
            for account_id in (owner, owner.upper()):
                body = item_body(account_id)
                answer = await client.post("/items", json=body)
                assert (await accepted(answer, 201))["account_id"] == owner
                answer = await client.put(f"/items/{item['id']}", data=body)
                assert (await accepted(answer))["account_id"] == owner
            for link in ("favorite", f"wishes/{item['id']}"):
                body = {"item_id": item["id"].upper()} if link == "favorite" else {}
                answer = await client.put(f"/accounts/{owner}/{link}", json=body)
                assert answer.is_success, answer.text
        for owner, item in zip(owners, items, strict=True):
            path = f"/accounts/{owner}/reservation"
            await accepted(await client.put(path, json={"item_id": item["id"]}), 201)

    async def test_take_what_a_get_gave(self, client: httpx.AsyncClient) -> None:
        item = await create_item(client, description="For the hall")
        account = await create_account(client, **account_body(dob="1990-05-17", country="JO"))
        for path, read in ((f"/items/{item['id']}", item), (f"/accounts/{account['id']}", account)):
            answer = await client.put(path, json=(await client.get(path)).json())
            assert await accepted(answer) == read
