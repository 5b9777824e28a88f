"""Accounts over HTTP: what each operation promises."""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import httpx
import pytest
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.config import Settings
from tests.applications import client_of, make_settings, running_app
from tests.databases import execute
from tests.factories import account_body, create_account, create_item
from tests.responses import code_of, faults, without
from tests.waiting import PATIENCE

FIELDS = [
    *("id", "email", "username", "dob", "country", "phone_number"),
    *("created", "updated", "version"),
]
# Each rule at its boundary: what it takes, and what is then stored.
TAKEN = [
    ("email", "Ada.L+tag@EXAMPLE.com", "Ada.L+tag@example.com"),
    ("username", "a", "a"),
    ("username", " " + "é" * 100 + "\n", "é" * 100),
    ("dob", "1900-01-01", "1900-01-01"),
    ("dob", None, None),
    ("country", "United kingdom", "GB"),
    ("country", "GBR", "GB"),
    ("country", "826", "GB"),
    ("country", None, None),
    ("phone_number", "+44 20 7946 0958", "+442079460958"),
    ("phone_number", "\uff0b\uff14\uff14\uff0820\uff09\u202f7946\t0958", "+442079460958"),
    ("phone_number", None, None),
]
# And what it refuses, with the code of the fault.
REFUSED = [
    ("email", "ada@", "invalid_format"),
    ("email", "", "invalid_format"),
    ("email", "a" * 243 + "@example.com", "too_long"),
    ("email", None, "null_not_allowed"),
    ("email", ["ada@example.com"], "wrong_type"),
    ("username", "", "too_short"),
    ("username", " \t", "too_short"),
    ("username", "a" * 101, "too_long"),
    ("username", None, "null_not_allowed"),
    ("username", 5, "wrong_type"),
    ("dob", "1899-12-31", "too_small"),
    ("dob", "2099-01-01", "too_large"),
    ("dob", "1990-02-30", "invalid_format"),
    ("dob", 631152000, "wrong_type"),
    ("country", "Atlantis", "invalid_format"),
    ("country", 826, "wrong_type"),
    ("phone_number", "0790000000", "invalid_format"),
    ("phone_number", "+49301234567890123", "invalid_format"),
    ("phone_number", 962790000000, "wrong_type"),
    ("nickname", "ada", "unknown"),
]


class TestCreate:
    async def test_answers_201_with_location_etag_and_the_account(
        self, client: httpx.AsyncClient
    ) -> None:
        body = account_body(dob="1990-05-17", country="Jordan", phone_number="0790000000")
        answer = await client.post("/accounts", json=body)
        account = answer.json()
        assert answer.status_code == 201
        assert answer.headers["location"] == f"/accounts/{account['id']}"
        assert answer.headers["etag"] == '"1"'
        assert answer.headers["cache-control"] == "private, no-cache"
        assert list(account) == FIELDS
        assert account["country"] == "JO"
        assert account["phone_number"] == "+962790000000"
        assert account["created"] == account["updated"]
        assert account["created"].endswith("Z")
        assert len(account["created"]) == len("2026-01-31T09:30:00.000000Z")
        assert account["version"] == 1
        assert account["id"][14] == "7"
        assert (await client.get(answer.headers["location"])).json() == account

    async def test_takes(self, client: httpx.AsyncClient) -> None:
        for field, value, stored in TAKEN:
            assert (await create_account(client, **{field: value}))[field] == stored

    async def test_what_is_left_out_is_null(self, client: httpx.AsyncClient) -> None:
        account = await create_account(client)
        assert account["dob"] is account["country"] is account["phone_number"] is None

    async def test_refuses(self, client: httpx.AsyncClient) -> None:
        for field, value, code in REFUSED:
            answer = await client.post("/accounts", json=account_body(**{field: value}))
            assert faults(answer) == {f"/{field}": code}
        assert (await client.get("/accounts")).json()["data"] == []

    async def test_the_date_of_birth_is_before_today(self, client: httpx.AsyncClient) -> None:
        today = datetime.now(UTC).date()
        answer = await client.post("/accounts", json=account_body(dob=str(today)))
        assert faults(answer) == {"/dob": "too_large"}
        await create_account(client, dob=str(today - timedelta(days=1)))

    async def test_requires_email_and_username(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/accounts", json={})
        assert faults(answer) == {"/email": "required", "/username": "required"}

    async def test_tells_all_faults_together(self, client: httpx.AsyncClient) -> None:
        body = {"email": "ada", "dob": "1", "phone_number": "1", "x": 1, "id": "1"}
        assert faults(await client.post("/accounts?y=1", json=body)) == {
            "/email": "invalid_format",
            "/username": "required",
            "/dob": "invalid_format",
            "/phone_number": "invalid_format",
            "/x": "unknown",
            "/id": "read_only",
            "y": "unknown",
        }

    async def test_an_email_is_taken_in_any_case(self, client: httpx.AsyncClient) -> None:
        taken = {
            "ada@example.com": "ADA@EXAMPLE.COM",
            "straße@example.com": "STRASSE@example.com",
            "josé@example.com": "JOSE\u0301@example.com",
            "ada@bücher.example.com": "Ada@xn--bcher-kva.example.com",
            "İ@example.com": "i\u0307@example.com",
            "eve@faß.example.com": "EVE@XN--FA-HIA.example.com",
            "eve@fass.example.com": " eve@FASS.example.com\n",
        }
        for one, other in taken.items():
            await create_account(client, email=one)
            for email in (one, other):
                answer = await client.post("/accounts", json=account_body(email=email))
                assert code_of(answer, 409) == "email_taken"
                [fault] = answer.json()["errors"]
                assert (fault["pointer"], fault["code"]) == ("/email", "not_unique")
                assert email not in answer.text

    async def test_emails_of_other_letters_are_free(self, client: httpx.AsyncClient) -> None:
        for email in ("i@example.com", "\u0131@example.com", "İ@example.com", "i@example.org"):
            await create_account(client, email=email)


class TestForms:
    """The fields that JSON has, as tutorials, Postman and HTML pages send them."""

    FIELDS: ClassVar = {
        "email": "ada@example.com",
        "username": "ada",
        "dob": "1990-05-17",
        "country": "Jordan",
        "phone_number": "0790000000",
    }

    @staticmethod
    def postman(fields: dict[str, str]) -> dict[str, Any]:
        """A form-data body byte for byte as Postman writes it."""
        boundary = "--------------------------879436152016384750269481"
        parts = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        return {
            "content": f"{parts}--{boundary}--\r\n".encode(),
            "headers": {"Content-Type": f"multipart/form-data; boundary={boundary}"},
        }

    @staticmethod
    def urlencoded(fields: dict[str, str]) -> dict[str, Any]:
        return {"data": fields}

    @pytest.mark.parametrize("form", ["postman", "urlencoded"])
    async def test_create_and_replace(self, form: str, client: httpx.AsyncClient) -> None:
        encode = getattr(self, form)
        answer = await client.post("/accounts", **encode(self.FIELDS))
        assert answer.status_code == 201, answer.text
        account = answer.json()
        assert account["email"] == "ada@example.com"
        assert account["dob"] == "1990-05-17"
        assert account["country"] == "JO"
        assert account["phone_number"] == "+962790000000"
        fields = {**self.FIELDS, "username": "Ada é", "dob": "", "phone_number": ""}
        answer = await client.put(f"/accounts/{account['id']}", **encode(fields))
        assert answer.status_code == 200, answer.text
        assert answer.headers["etag"] == '"2"'
        changed = {"username": "Ada é", "dob": None, "phone_number": None}
        assert without(answer.json(), "updated", "version") == {
            **without(account, "updated", "version"),
            **changed,
        }

    @pytest.mark.parametrize("form", ["postman", "urlencoded"])
    async def test_what_a_get_gave_goes_back_as_a_form(
        self, form: str, client: httpx.AsyncClient
    ) -> None:
        account = await create_account(client, dob="1990-05-17")
        url = f"/accounts/{account['id']}"
        fields = {k: "" if v is None else str(v) for k, v in account.items()} | {"username": "b"}
        answer = await client.put(url, **getattr(self, form)(fields))
        assert answer.status_code == 200, answer.text
        assert answer.json()["version"] == 2
        answer = await client.put(url, **getattr(self, form)(fields))
        assert code_of(answer, 412) == "stale_version"

    @pytest.mark.parametrize("form", ["postman", "urlencoded"])
    async def test_an_empty_value_is_null(self, form: str, client: httpx.AsyncClient) -> None:
        fields = dict.fromkeys(self.FIELDS, "")
        answer = await client.post("/accounts", **getattr(self, form)(fields))
        assert faults(answer) == {"/email": "null_not_allowed", "/username": "null_not_allowed"}


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
class TestReplaceAndChange:
    """What PUT and PATCH have in common."""

    async def test_no_real_change_leaves_version_and_updated_alone(
        self, method: str, client: httpx.AsyncClient
    ) -> None:
        account = await create_account(client, country="JO", phone_number="0790000000")
        url = f"/accounts/{account['id']}"
        same = {**without(account, "id", "created", "updated", "version"), "country": "jordan"}
        for body in (account, same):
            answer = await client.request(method, url, json=body)
            assert answer.status_code == 200
            assert answer.json() == account
            assert answer.headers["etag"] == '"1"'

    async def test_takes(self, method: str, client: httpx.AsyncClient) -> None:
        for field, value, stored in TAKEN:
            account = await create_account(client, dob="2000-01-01", country="AF", username="b")
            url = f"/accounts/{account['id']}"
            body = account_body(**{field: value}) if method == "PUT" else {field: value}
            answer = await client.request(method, url, json=body)
            assert answer.status_code == 200, answer.text
            assert answer.json()[field] == stored

    async def test_refuses(self, method: str, client: httpx.AsyncClient) -> None:
        account = await create_account(client)
        url = f"/accounts/{account['id']}"
        for field, value, code in REFUSED:
            body = account_body(**{field: value}) if method == "PUT" else {field: value}
            assert faults(await client.request(method, url, json=body)) == {f"/{field}": code}
        assert (await client.get(url)).json() == account

    async def test_an_email_that_another_has_is_taken(
        self, method: str, client: httpx.AsyncClient
    ) -> None:
        await create_account(client, email="straße@example.com")
        account = await create_account(client)
        url = f"/accounts/{account['id']}"
        body = account_body(email="STRASSE@example.com")
        answer = await client.request(method, url, json=body)
        assert code_of(answer, 409) == "email_taken"
        assert answer.json()["errors"][0]["pointer"] == "/email"
        assert (await client.get(url)).json() == account

    async def test_the_own_email_may_change_its_case(
        self, method: str, client: httpx.AsyncClient
    ) -> None:
        account = await create_account(client, email="ada@example.com")
        url = f"/accounts/{account['id']}"
        answer = await client.request(method, url, json={**account, "email": "ADA@example.com"})
        assert answer.json()["email"] == "ADA@example.com"
        assert answer.json()["version"] == 2


class TestReplace:
    async def test_what_is_left_out_becomes_null(self, client: httpx.AsyncClient) -> None:
        account = await create_account(
            client, dob="1990-05-17", country="JO", phone_number="+962790000000"
        )
        required = {"email": account["email"], "username": account["username"]}
        answer = await client.put(f"/accounts/{account['id']}", json=required)
        changed = answer.json()
        assert changed["dob"] is changed["country"] is changed["phone_number"] is None
        assert changed["version"] == 2

    async def test_requires_what_is_required(self, client: httpx.AsyncClient) -> None:
        account = await create_account(client)
        answer = await client.put(f"/accounts/{account['id']}", json={"id": account["id"]})
        assert faults(answer) == {"/email": "required", "/username": "required"}


class TestChange:
    @pytest.mark.parametrize("media_type", ["application/json", "application/merge-patch+json"])
    async def test_what_is_absent_stays_and_null_clears(
        self, media_type: str, client: httpx.AsyncClient
    ) -> None:
        account = await create_account(client, dob="1990-05-17", country="JO")
        answer = await client.patch(
            f"/accounts/{account['id']}",
            content=b'{"country": null}',
            headers={"Content-Type": media_type},
        )
        assert answer.status_code == 200
        assert without(answer.json(), "updated") == {
            **without(account, "updated"),
            "country": None,
            "version": 2,
        }

    async def test_a_national_number_needs_its_country_beside_it(
        self, client: httpx.AsyncClient
    ) -> None:
        account = await create_account(client, country="JO")
        url = f"/accounts/{account['id']}"
        answer = await client.patch(url, json={"phone_number": "0790000000"})
        assert faults(answer) == {"/phone_number": "invalid_format"}
        body = {"country": "JO", "phone_number": "0790000000"}
        assert (await client.patch(url, json=body)).json()["phone_number"] == "+962790000000"


class TestDelete:
    async def test_204_then_404(self, client: httpx.AsyncClient) -> None:
        url = f"/accounts/{(await create_account(client))['id']}"
        answer = await client.delete(url)
        assert answer.status_code == 204
        assert answer.content == b""
        assert "content-type" not in answer.headers
        for query in ("", "?cascade=true", "?cascade=false"):
            assert code_of(await client.delete(url + query), 404) == "account_not_found"
        assert code_of(await client.get(url), 404) == "account_not_found"

    async def test_an_account_that_owns_items_stays(self, client: httpx.AsyncClient) -> None:
        account = await create_account(client)
        item = await create_item(client, account["id"])
        url = f"/accounts/{account['id']}"
        for query in ("", "?cascade=false"):
            assert code_of(await client.delete(url + query), 409) == "account_has_items"
        assert (await client.get(url)).json() == account
        assert (await client.get(f"/items/{item['id']}")).json() == item

    async def test_cascade_takes_its_items_along_and_no_others(
        self, client: httpx.AsyncClient
    ) -> None:
        account = await create_account(client)
        items = [await create_item(client, account["id"]) for _ in range(3)]
        other = await create_item(client)
        answer = await client.delete(f"/accounts/{account['id']}?cascade=true")
        assert answer.status_code == 204
        for item in items:
            answer = await client.get(f"/items/{item['id']}")
            assert code_of(answer, 404) == "item_not_found"
        assert (await client.get(f"/items/{other['id']}")).json() == other

    async def test_a_stale_cascade_takes_nothing(
        self, client: httpx.AsyncClient, statements: list[str]
    ) -> None:
        item = await create_item(client)
        url = f"/accounts/{item['account_id']}?cascade=true"
        answer = await client.delete(url, headers={"If-Match": '"2"'})
        assert code_of(answer, 412) == "stale_version"
        assert not any("DELETE" in statement for statement in statements)
        assert (await client.get(f"/items/{item['id']}")).json() == item
        statements.clear()
        assert (await client.delete(url, headers={"If-Match": '"1"'})).status_code == 204
        assert len(statements) == 3

    async def test_a_cascade_has_a_time_limit_of_its_own(self, database: URL) -> None:
        await execute(
            database,
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(4.5); RETURN NULL; END $$",
            "CREATE TRIGGER dawdle AFTER DELETE ON items EXECUTE FUNCTION dawdle()",
        )
        limits = {"pool_size": 1, "statement_timeout": 3}  # and the driver waits a second more
        async with (
            running_app(database, **limits, cascade_timeout=PATIENCE) as application,
            client_of(application) as client,
        ):
            account = await create_account(client)
            item, other = [await create_item(client, account["id"]) for _ in range(2)]
            answer = await client.delete(f"/items/{item['id']}")
            assert code_of(answer, 503) == "overloaded"
            url = f"/accounts/{account['id']}?cascade=true"
            assert (await client.delete(url)).status_code == 204
            for gone in (item, other):
                assert (await client.get(f"/items/{gone['id']}")).status_code == 404
            other = await create_item(client)  # the limit of all others is the same as before
            answer = await client.delete(f"/items/{other['id']}")
            assert code_of(answer, 503) == "overloaded"

    async def test_a_cascade_that_takes_too_long_takes_nothing(self, database: URL) -> None:
        engine = create_async_engine(database, poolclass=NullPool)
        async with (
            running_app(database, cascade_timeout=0.2, lock_timeout=0) as application,
            client_of(application) as client,
            engine.connect() as other,
        ):
            item = await create_item(client)
            await other.execute(text("SELECT id FROM items FOR UPDATE"))
            answer = await client.delete(f"/accounts/{item['account_id']}?cascade=true")
            assert code_of(answer, 503) == "overloaded"
            await other.rollback()
            assert (await client.get(f"/items/{item['id']}")).json() == item

    async def test_cascade_is_true_or_false(self, client: httpx.AsyncClient) -> None:
        account = await create_account(client)
        refused = {
            "cascade=yes": "wrong_type",
            "cascade=2": "wrong_type",
            "cascade=": "wrong_type",
            "cascade=t": "wrong_type",
            "cascade=true&cascade=true": "duplicate",
            "force=true": "unknown",
        }
        for query, code in refused.items():
            answer = await client.delete(f"/accounts/{account['id']}?{query}")
            assert faults(answer) == {query.partition("=")[0]: code}
        assert (await client.get("/accounts?limit=1")).json()["data"] == [account]


async def write(
    client: httpx.AsyncClient, method: str, account: dict[str, Any], **options: Any
) -> httpx.Response:
    """A request that changes or deletes an account."""
    if method != "DELETE":
        options["json"] = account_body() | options.pop("fields", {})
    return await client.request(method, f"/accounts/{account['id']}", **options)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
class TestIfMatchRequired:
    @pytest.fixture
    def settings(self) -> Settings:
        return make_settings(require_if_match=True)

    async def test_428_for_a_cascade_without_it(
        self, method: str, client: httpx.AsyncClient
    ) -> None:
        item = await create_item(client)
        account = {"id": item["account_id"]}
        query = {"params": {"cascade": "true"}} if method == "DELETE" else {}
        answer = await write(client, method, account, **query)
        assert code_of(answer, 428) == "precondition_required"
        assert (await client.get(f"/items/{item['id']}")).json() == item
