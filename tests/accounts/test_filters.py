"""The filters of accounts."""

from datetime import date

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from tests.catalog import insert_accounts
from tests.factories import create_account
from tests.pages import found, refused


class TestFilters:
    async def test_email_in_any_case(self, client: httpx.AsyncClient) -> None:
        emails = ["Ada@Example.com", "adam@example.com", "Straße@bücher.example"]
        for email in emails:
            await create_account(client, email=email)
        for email, expected in (
            ("ada@example.com", {"Ada@example.com"}),
            ("ADA@EXAMPLE.COM", {"Ada@example.com"}),
            (" ada@example.com\u00a0\n", {"Ada@example.com"}),
            ("STRASSE@BÜCHER.EXAMPLE", {"Straße@bücher.example"}),
            ("straße@xn--bcher-kva.example", {"Straße@bücher.example"}),
            ("straße@bu\u0308cher.example", {"Straße@bücher.example"}),
            ("ada", set()),
            ("ada@example.co", set()),
            ("ada%@example.com", set()),
            ("%", set()),
            ("x" * 1000, set()),
        ):
            assert await found(client, "/accounts", "email", email=email) == expected, email

    async def test_country_in_every_form_and_any_of_many(self, client: httpx.AsyncClient) -> None:
        for country in ("JO", "DE", "KR", None):
            await create_account(client, country=country)

        async def in_countries(*countries: str) -> set[str]:
            return await found(client, "/accounts", "country", country=list(countries))

        for form in ("JO", "jo", "JOR", "400", "Jordan", "hashemite kingdom of jordan"):
            assert await in_countries(form) == {"JO"}
        for form in ("Korea, Republic of", "South Korea", "S. Korea", "Republic (Korea)", "kor"):
            assert await in_countries(form) == {"KR"}
        assert await in_countries("JO", "Germany") == {"JO", "DE"}
        assert await in_countries("JO", "Jordan", "400") == {"JO"}
        assert await in_countries("FR") == set()
        assert await in_countries(*["JO"] * 50) == {"JO"}

    @pytest.mark.parametrize("query", ["Atlantis", "", "J", "JO&country=Atlantis", "null", "%EF"])
    async def test_an_unknown_country(self, client: httpx.AsyncClient, query: str) -> None:
        assert await refused(client, f"/accounts?country={query}") == [
            ("country", "invalid_format")
        ]

    async def test_too_many_countries(self, client: httpx.AsyncClient) -> None:
        query = "&".join(["country=JO"] * 51)
        assert await refused(client, f"/accounts?{query}") == [("country", "too_long")]

    async def test_dates_of_birth(
        self, client: httpx.AsyncClient, connection: AsyncConnection
    ) -> None:
        days = [date(1990, 5, 16), date(1990, 5, 17), date(1990, 5, 18), None]
        await insert_accounts(connection, [{"dob": day} for day in days])
        for query, expected in (
            ({"dob_gte": "1990-05-17"}, {"1990-05-17", "1990-05-18"}),
            ({"dob_lte": "1990-05-17"}, {"1990-05-16", "1990-05-17"}),
            ({"dob_gte": "1990-05-17", "dob_lte": "1990-05-17"}, {"1990-05-17"}),
            ({"dob_gte": "1990-05-18", "dob_lte": "1990-05-17"}, set()),
            ({"dob_gte": "0001-01-01"}, {"1990-05-16", "1990-05-17", "1990-05-18"}),
            ({"dob_lte": "9999-12-31"}, {"1990-05-16", "1990-05-17", "1990-05-18"}),
        ):
            assert await found(client, "/accounts", "dob", **query) == expected

    @pytest.mark.parametrize(
        "day", ["", "1990", "1990-02-30", "17.05.1990", "0", "1990-05-17T00:00Z"]
    )
    async def test_no_dates(self, client: httpx.AsyncClient, day: str) -> None:
        for name in ("dob_gte", "dob_lte"):
            assert await refused(client, f"/accounts?{name}={day}") == [(name, "invalid_format")]

    async def test_filters_must_all_hold(
        self, client: httpx.AsyncClient, connection: AsyncConnection
    ) -> None:
        rows = [
            {"username": "ada", "country": "JO", "dob": date(1990, 1, 1)},
            {"username": "ada", "country": "DE", "dob": date(1990, 1, 1)},
            {"username": "ada", "country": "JO", "dob": date(1991, 1, 1)},
            {"username": "bob", "country": "JO", "dob": date(1990, 1, 1)},
        ]
        await insert_accounts(connection, [{"id": uuid7(), **row} for row in rows])
        query = {"username_prefix": "a", "country": ["JO", "FR"], "dob_lte": "1990-12-31"}
        answer = await client.get("/accounts", params={**query, "count": "exact"})
        (row,) = answer.json()["data"]
        assert (row["username"], row["country"], row["dob"]) == ("ada", "JO", "1990-01-01")
        assert answer.json()["count"] == 1
