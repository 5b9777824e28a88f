"""What the service takes and answers is valid to jsonschema, a validator for Python."""

import json

import httpx
import pytest
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

from tests.api.taken import BODIES, answers, taken
from tests.applications import document


def validator(name: str) -> Validator:
    components = document()["components"]
    schema = {"$ref": f"#/components/schemas/{name}", "components": components}
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


@pytest.mark.parametrize("name", BODIES)
def test_what_is_taken_is_valid(name: str) -> None:
    valid = validator(name)
    bodies = taken(name)
    # Each field is given values that are taken, so that the test means something.
    assert bodies.keys() == document()["components"]["schemas"][name]["properties"].keys()
    for each in bodies.values():
        for body in each:
            valid.validate(json.loads(body))


async def test_what_is_answered_is_valid(client: httpx.AsyncClient) -> None:
    for name, found in (await answers(client)).items():
        valid = validator(name)
        assert len(found) > 1
        for answer in found:
            valid.validate(json.loads(answer))
