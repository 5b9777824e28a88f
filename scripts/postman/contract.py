"""The folders that show what all resources have in common."""

from scripts.postman.send import RESPONSE, Send, header_has, header_is, names_are, set_to
from scripts.postman.steps import (
    CREATE_ACCOUNT,
    CREATE_ITEM,
    DELETE_ACCOUNT,
    DELETE_ALL,
    ETAG,
    KEY,
    LAMP,
)

CONDITIONS = [
    CREATE_ACCOUNT,
    Send(
        "retrieve_account",
        name="Get the ETag",
        checks={
            "has an ETag": header_is("ETag", "'\"1\"'"),
            "keeps it": 'pm.collectionVariables.set("etag", pm.response.headers.get("ETag"))',
        },
    ),
    Send("retrieve_account", 304, name="Get if changed", headers={"If-None-Match": "{{etag}}"}),
    Send(
        "change_account",
        name="Change if unchanged",
        headers=ETAG,
        body={"username": "lovelace"},
        checks={"has a new ETag": header_is("ETag", "'\"2\"'")},
    ),
    Send(
        "change_account",
        412,
        name="Change with a stale ETag",
        headers=ETAG,
        body={"username": "nobody"},
        problem="stale_version",
        checks={"has the current ETag": header_is("ETag", "'\"2\"'")},
    ),
    Send(
        "replace_account",
        412,
        name="Replace with a stale version in the body",
        body={"email": "nobody@example.com", "username": "nobody", "version": 1},
        problem="stale_version",
    ),
    Send(
        "delete_account",
        412,
        name="Delete with a stale ETag",
        headers=ETAG,
        problem="stale_version",
    ),
    Send("delete_account", 204, name="Delete any version", headers={"If-Match": "*"}),
]

IDEMPOTENCY = [
    Send(
        "create_account",
        201,
        name="Create with a key",
        before=[
            set_to("idempotency_key", "{{$guid}}"),
            set_to("email", "ada-{{$guid}}@example.com"),
        ],
        headers=KEY,
        body={"email": "{{email}}", "username": "ada"},
        saves={"account_id": "id", "email": "email"},
    ),
    Send(
        "create_account",
        201,
        name="Repeat the request",
        headers=KEY,
        body={"username": "ada", "email": "{{email}}"},
        same={"id": "account_id"},
        checks={"is the stored response": header_is("Idempotency-Replayed", '"true"')},
    ),
    Send(
        "create_account",
        422,
        name="Send another request with the key",
        headers=KEY,
        body={"email": "{{email}}", "username": "bob"},
        problem="idempotency_key_reused",
    ),
    DELETE_ACCOUNT,
]

EXPORTS = [
    CREATE_ACCOUNT,
    CREATE_ITEM,
    Send(
        "export_accounts",
        name="Export Accounts as lines of JSON",
        checks={
            "is a file": header_has("Content-Disposition", "accounts.ndjson"),
            "begins with the newest": "pm.expect(JSON.parse("
            'pm.response.text().split("\\n")[0]).id).to.equal('
            'pm.collectionVariables.get("account_id"))',
        },
    ),
    Send(
        "export_items",
        name="Export Items as CSV",
        query="account_id={{account_id}}&format=csv",
        checks={
            "has a header and a row": "pm.expect(pm.response.text()).to.match("
            "/^id,account_id,[^\\n]*\\r\\n[^\\n]*,Lamp,[^\\n]*\\r\\n$/)"
        },
    ),
    DELETE_ALL,
]

IMPORTS = [
    Send(
        "import_accounts",
        name="Import Accounts from CSV",
        before=[set_to("email", "ada-{{$guid}}@example.com")],
        body="username,email\r\nada,{{email}}\r\n",
        checks={"creates one": f"pm.expect({RESPONSE}.created).to.equal(1)"},
    ),
    Send("list_accounts", query="email={{email}}", saves={"account_id": "data[0].id"}),
    Send(
        "import_accounts",
        422,
        name="Import Accounts that are there",
        body="email,username\r\n{{email}},ada\r\n",
        problem="import_rejected",
        checks={"names the row": f"pm.expect({RESPONSE}.errors[0].row).to.equal(1)"},
    ),
    Send(
        "import_items",
        name="Import Items from lines of JSON",
        media_type="application/x-ndjson",
        body='{"account_email": "{{email}}", "name": "Lamp", "price": 19.9,'
        ' "image_link": "https://example.com/lamp.jpg"}\n',
        checks={"creates one": f"pm.expect({RESPONSE}.created).to.equal(1)"},
    ),
    DELETE_ALL,
]

LISTS = [
    Send("create_account", 201, saves={"account_id": "id", "email": "email.toUpperCase()"}),
    CREATE_ITEM,
    Send(
        "create_item",
        201,
        name="Create a second Item",
        body={
            "account_id": "{{account_id}}",
            **LAMP,
            "name": "Clock",
            "price": "5",
            "description": "Ticks",
        },
    ),
    Send(
        "create_item",
        201,
        name="Create a third Item",
        body={"account_id": "{{account_id}}", **LAMP, "name": "Armchair", "price": "120"},
    ),
    Send(
        "list_items",
        name="First page of Items",
        query="account_id={{account_id}}&sort=price&limit=2&count=exact",
        has={"count": 3},
        checks={
            "has the two cheapest": names_are("Clock", "Lamp"),
            "links to the next page": 'pm.expect(pm.response.headers.get("Link"))'
            '.to.match(/rel="next"$/)',
        },
        saves={"cursor": "next_cursor"},
    ),
    Send(
        "list_items",
        name="Second page of Items",
        query="account_id={{account_id}}&sort=price&limit=2&cursor={{cursor}}",
        has={"next_cursor": None},
        checks={"has the rest": names_are("Armchair")},
    ),
    Send(
        "list_items",
        422,
        name="The cursor in another list",
        query="sort=name&cursor={{cursor}}",
        problem="invalid_cursor",
    ),
    Send(
        "list_items",
        name="Items by price",
        query="account_id={{account_id}}&price_gte=5.01&price_lte=100",
        checks={"has those between": names_are("Lamp")},
    ),
    Send(
        "list_items",
        name="Items by words",
        query="account_id={{account_id}}&q=ticks clock",
        checks={"has those with all words": names_are("Clock")},
    ),
    Send(
        "list_account_items",
        query="name_prefix=La",
        checks={"has those with the prefix": names_are("Lamp")},
    ),
    Send(
        "list_accounts",
        name="Accounts by email",
        query="email={{email}}",
        same={"data[0].id": "account_id"},
        checks={"has one": f"pm.expect({RESPONSE}.data.length).to.equal(1)"},
    ),
    Send(
        "list_accounts",
        name="Accounts by country and date of birth",
        query="country=JO&country=FR&dob_gte=1990-01-01&sort=-username&count=estimated",
        checks={
            "has no other countries": f"{RESPONSE}.data.forEach((account) => "
            'pm.expect(account.country).to.be.oneOf(["JO", "FR"]))'
        },
    ),
    DELETE_ALL,
]

ERRORS = [
    Send(
        "create_account",
        422,
        name="Several faults",
        body={"email": "ada", "dob": "2999-01-01", "color": "red"},
        problem="invalid_request",
        faults=[
            ("/email", "invalid_format"),
            ("/username", "required"),
            ("/dob", "too_large"),
            ("/color", "unknown"),
        ],
    ),
    Send("create_account", 400, name="Malformed JSON", body='{"email": ', problem="malformed_body"),
    Send(
        "create_account",
        415,
        name="Unsupported media type",
        media_type="text/plain",
        body="ada",
        problem="unsupported_media_type",
    ),
    Send(
        "list_accounts",
        422,
        name="Unknown parameter",
        query="page=2&limit=1000",
        problem="invalid_request",
        faults=[("page", "unknown"), ("limit", "too_large")],
    ),
    Send(
        "GET /accounts/00000000-0000-7000-8000-000000000000",
        404,
        name="Unknown Account",
        problem="account_not_found",
    ),
    Send(
        "GET /items/1",
        422,
        name="Malformed id",
        problem="invalid_request",
        faults=[("item_id", "invalid_format")],
    ),
    Send(
        "create_item",
        422,
        name="Unknown owner",
        body={"account_id": "00000000-0000-7000-8000-000000000000", **LAMP},
        problem="account_not_found",
        faults=[("/account_id", "not_found")],
    ),
    Send(
        "DELETE /accounts",
        405,
        name="Unsupported method",
        problem="method_not_allowed",
        checks={"lists the methods": header_has("Allow", "POST")},
    ),
    Send("create_account", 201, saves={"account_id": "id", "email": "email"}),
    Send(
        "create_account",
        409,
        name="Email that is taken",
        body={"email": "{{email}}", "username": "bob"},
        problem="email_taken",
        faults=[("/email", "not_unique")],
    ),
    CREATE_ITEM,
    Send("delete_account", 409, name="Delete an owner", problem="account_has_items"),
    DELETE_ALL,
    Send(
        "GET /problems/account-has-items",
        name="What a problem means",
        checks={"is a page": header_has("Content-Type", "text/html")},
    ),
]

SERVICE = [
    Send("GET /", name="Hello", has={"message": "Hello World!", "openapi": "/openapi.json"}),
    Send("GET /livez", name="Liveness", has={"status": "pass"}),
    Send("GET /readyz", name="Readiness", has={"status": "pass"}),
    *(
        Send(
            f"GET {path}",
            name=name,
            checks={"is of version 3.1": f"pm.expect({RESPONSE}.openapi).to.match(/^3\\.1\\./)"},
        )
        for path, name in (
            ("/openapi.json", "OpenAPI document"),
            ("/openapi.sdk.json", "OpenAPI document for generators of SDKs"),
        )
    ),
]
