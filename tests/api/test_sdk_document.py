"""The document for generators of SDKs is the OpenAPI document without forms."""

import copy
from typing import Any

from app.api.openapi.examples import REF
from app.api.openapi.sdk import without_forms
from tests.applications import document, sdk_document

DOCUMENT = document()
SDK_DOCUMENT = sdk_document()
FORM_TYPES = {"application/x-www-form-urlencoded", "multipart/form-data"}


def bodies_of(whole: dict[str, Any]) -> list[dict[str, Any]]:
    operations = [one for methods in whole["paths"].values() for one in methods.values()]
    return [one["requestBody"]["content"] for one in operations if "requestBody" in one]


def test_it_differs_by_bodies_that_are_forms_and_their_schemas() -> None:
    expected = copy.deepcopy(DOCUMENT)
    for content in bodies_of(expected):
        for media_type in FORM_TYPES & content.keys():
            del content[media_type]
    schemas = expected["components"]["schemas"]
    forms = {name for name in schemas if name.endswith(("Form", "Multipart"))}
    for name in forms:
        del schemas[name]
    assert forms
    assert expected == SDK_DOCUMENT


def test_every_body_is_still_there() -> None:
    assert len(bodies_of(SDK_DOCUMENT)) == len(bodies_of(DOCUMENT))
    assert all(bodies_of(SDK_DOCUMENT))


def test_a_schema_that_only_forms_use_is_left_out() -> None:
    whole = copy.deepcopy(DOCUMENT)
    schemas = whole["components"]["schemas"]
    schemas["Inner"] = {"type": "string"}
    schemas["Outer"] = {"properties": {"inner": {"$ref": f"{REF}Inner"}}}
    schemas["ItemCreateForm"]["properties"]["outer"] = {"$ref": f"{REF}Outer"}
    assert without_forms(whole) == SDK_DOCUMENT
    schemas["ItemCreate"]["properties"]["outer"] = {"$ref": f"{REF}Outer"}
    kept = without_forms(whole)["components"]["schemas"]
    assert kept.keys() == SDK_DOCUMENT["components"]["schemas"].keys() | {"Inner", "Outer"}
