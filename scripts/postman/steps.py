"""Requests that several folders of the Postman collection share, and their values."""

from typing import Final

from scripts.postman.send import Send

LAMP: Final = {"name": "Lamp", "price": "19.90", "image_link": "https://example.com/lamp.jpg"}
ETAG: Final = {"If-Match": "{{etag}}"}
KEY: Final = {"Idempotency-Key": "{{idempotency_key}}"}
CREATE_ACCOUNT: Final = Send("create_account", 201, saves={"account_id": "id"})
CREATE_ITEM: Final = Send("create_item", 201, saves={"item_id": "id"})
DELETE_ACCOUNT: Final = Send("delete_account", 204)
DELETE_OTHER: Final = Send("DELETE /accounts/{other_id}", 204, name="Delete Other Account")
DELETE_ALL: Final = Send(
    "delete_account", 204, name="Delete Account and its Items", query="cascade=true"
)
