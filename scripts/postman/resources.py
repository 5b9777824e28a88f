"""The folders that are written by hand: the tutorial, bodies in JSON and forms, and links."""

from scripts.postman.send import MULTIPART, RESPONSE, URLENCODED, Send, header_is
from scripts.postman.steps import (
    CREATE_ACCOUNT,
    CREATE_ITEM,
    DELETE_ALL,
    DELETE_OTHER,
    LAMP,
)

TUTORIAL = [
    Send(
        "create_account",
        201,
        name="Post New Account",
        media_type=MULTIPART,
        has={"username": "ada", "dob": "1990-05-17", "phone_number": "+962790000000"},
        checks={
            "normalizes the country": f'pm.expect({RESPONSE}.country).to.equal("JO")',
            "gives its address": header_is("Location", f'"/accounts/" + {RESPONSE}.id'),
        },
        saves={"account_id": "id"},
    ),
    Send("list_accounts", name="List All Accounts", same={"data[0].id": "account_id"}),
    Send("retrieve_account", name="Get a Specific Account", same={"id": "account_id"}),
    Send(
        "replace_account",
        name="Put a Specific Account",
        media_type=MULTIPART,
        body={
            "email": "ada-{{$guid}}@example.com",
            "username": "lovelace",
            "dob": "1990-12-10",
            "country": "United Kingdom",
            "phone_number": "020 7946 0018",
        },
        has={
            "username": "lovelace",
            "dob": "1990-12-10",
            "country": "GB",
            "phone_number": "+442079460018",
            "version": 2,
        },
    ),
    Send(
        "delete_account",
        204,
        name="Delete a Specific Account",
        checks={"has no body": "pm.response.to.not.have.body()"},
    ),
]

AS_JSON = [
    Send(
        "create_account",
        201,
        has={"dob": "1990-05-17", "country": "JO", "phone_number": "+962790000000"},
        saves={"account_id": "id", "email": "email"},
    ),
    Send(
        "change_account",
        body={"username": "lovelace", "country": None},
        has={"username": "lovelace", "country": None, "dob": "1990-05-17"},
    ),
    Send(
        "replace_account",
        body={"email": "{{email}}", "username": "ada"},
        has={"username": "ada", "dob": None, "phone_number": None},
    ),
    Send(
        "create_account",
        201,
        name="Create Account as HTML Form",
        media_type=URLENCODED,
        body={"email": "bob-{{$guid}}@example.com", "username": "bob", "dob": ""},
        saves={"other_id": "id"},
    ),
    CREATE_ITEM,
    Send("change_item", body={"price": "25"}, has={"name": "Lamp", "price": "25.00"}),
    Send(
        "change_item",
        name="Give Item to another Account",
        body={"account_id": "{{other_id}}"},
        same={"account_id": "other_id"},
    ),
    Send(
        "replace_item",
        body={"account_id": "{{account_id}}", "name": "Clock", "image_link": LAMP["image_link"]},
        has={"name": "Clock", "price": "0.00"},
    ),
    Send(
        "replace_item",
        name="Replace Item as Form",
        description="An empty value of a form is null.",
        media_type=MULTIPART,
        body={
            "account_id": "{{account_id}}",
            **LAMP,
            "name": "Brass lamp",
            "price": "",
            "description": "",
        },
        has={"name": "Brass lamp", "price": "0.00", "description": None},
    ),
    DELETE_OTHER,
    DELETE_ALL,
]

LINKS = [
    CREATE_ACCOUNT,
    Send("create_account", 201, name="Create Other Account", saves={"other_id": "id"}),
    CREATE_ITEM,
    Send("put_favorite", 201, same={"item.id": "item_id"}),
    Send("put_favorite", name="Repeat Put Favorite", description="200: the link exists already."),
    Send("retrieve_favorite", same={"item.id": "item_id"}),
    Send("list_favorited_by", same={"data[0].account.id": "account_id"}),
    Send("delete_favorite", 204),
    Send("retrieve_favorite", 404, name="Retrieve no Favorite", problem="not_found"),
    Send("put_reservation", 201),
    Send(
        "PUT /accounts/{other_id}/reservation",
        409,
        name="Reserve the Item for the Other Account",
        body={"item_id": "{{item_id}}"},
        problem="item_already_reserved",
    ),
    Send("retrieve_reservation", same={"item.id": "item_id"}),
    Send("retrieve_item_reservation", same={"account.id": "account_id"}),
    Send("delete_reservation", 204),
    Send("put_wish", 201, has={"note": "For the hall"}),
    Send(
        "put_wish",
        name="Replace the Note",
        body={"note": "For the stairs"},
        has={"note": "For the stairs"},
    ),
    Send("retrieve_wish", same={"item.id": "item_id"}),
    Send("list_wishes", same={"data[0].item.id": "item_id"}),
    Send("list_wished_by", query="sort=created", same={"data[0].account.id": "account_id"}),
    Send("delete_wish", 204),
    DELETE_OTHER,
    DELETE_ALL,
]
