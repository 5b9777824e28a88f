"""Accounts over HTTP."""

import httpx2

from tests.factories import account_body


class TestCreate:
    async def test_answers_201_with_location_etag_and_the_account(
        self, client: httpx2.AsyncClient
    ) -> None:
        body = account_body(dob="1990-05-17", country="Jordan", phone_number="0790000000")
        answer = await client.post("/accounts", json=body)
        account = answer.json()
        assert answer.status_code == 201
        assert answer.headers["location"] == f"/accounts/{account['id']}"
        assert answer.headers["etag"] == '"1"'
        assert answer.headers["cache-control"] == "private, no-cache"
        assert list(account) == [
            *("id", "email", "username", "dob", "country", "phone_number"),
            *("created", "updated", "version"),
        ]
        assert account["country"] == "JO"
        assert account["phone_number"] == "+962790000000"
        assert account["created"] == account["updated"]
        assert account["created"].endswith("Z")
        assert len(account["created"]) == len("2026-01-31T09:30:00.000000Z")
        assert account["version"] == 1
        assert account["id"][14] == "7"
