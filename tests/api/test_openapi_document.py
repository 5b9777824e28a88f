"""The OpenAPI document has what generators of clients need, and changes only on purpose."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import jsonschema_rs
import pytest

from app import __version__ as version
from app.cli.commands import SERVERS
from app.errors import FaultCode
from tests.api.breaking import METHODS, breaking_changes
from tests.applications import document, sdk_document
from tests.catalog import CATALOG
from tests.json_schemas import alternatives, resolved

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
REGENERATE = "run `make openapi`"
DOCUMENT = document()
# The file has a server that clients can call; the served document is relative to itself.
FILE = {**DOCUMENT, "servers": SERVERS}
SDK_DOCUMENT = sdk_document()
SCHEMAS = DOCUMENT["components"]["schemas"]

OPERATIONS = {
    operation["operationId"]: operation
    for methods in DOCUMENT["paths"].values()
    for operation in methods.values()
}
FORM_TYPES = ["application/x-www-form-urlencoded", "multipart/form-data"]
WITH_FORMS = ["application/json", *FORM_TYPES]
NULL = {"type": "null"}
LISTS = {name for name in OPERATIONS if name.startswith("list_")}
BATCHES = {
    f"batch_{verb}_{entry.path.removeprefix('/')}"
    for verb in ("get", "create", "update", "delete")
    for entry in CATALOG
}
BATCH_WRITES = {name for name in BATCHES if not name.startswith("batch_get_")}
EXPORTS = {name for name in OPERATIONS if name.startswith("export_")}
IMPORTS = {name for name in OPERATIONS if name.startswith("import_")}


def names_of(method: str) -> set[str]:
    """The operations of all resources by a method: POST on their paths, others on a row's."""
    suffixes = {
        entry.path: "" if method == "post" else f"/{{{entry.id_name}}}" for entry in CATALOG
    }
    found = (DOCUMENT["paths"][f"{path}{suffix}"] for path, suffix in suffixes.items())
    return {methods[method]["operationId"] for methods in found if method in methods}


LINK_WRITES = {
    name for name in OPERATIONS if re.match("(put|delete)_(favorite|reservation|wish)$", name)
}
CREATES, RETRIEVES, DELETES = names_of("post"), names_of("get"), names_of("delete")
REPLACES = names_of("put")
WRITES = REPLACES | names_of("patch")
TITLES = "|".join(entry.title for entry in CATALOG)
# In the names of what is sent.
SENT = "Create|Replace|Change|Update|Delete|RowVersion"
FORMS = sorted(name for name in SCHEMAS if name.endswith(("Form", "Multipart")))
each_operation = pytest.mark.parametrize("name", sorted(OPERATIONS))
each_schema = pytest.mark.parametrize("name", sorted(SCHEMAS))


def parts(node: Any) -> Iterator[dict[str, Any]]:
    """All objects in a part of the document."""
    inner: list[Any] = node if isinstance(node, list) else []
    if isinstance(node, dict):
        yield node
        inner = list(node.values())
    for one in inner:
        yield from parts(one)


PATTERNS = {one["pattern"] for one in parts(DOCUMENT) if isinstance(one.get("pattern"), str)}


def parameters_of(name: str) -> list[dict[str, Any]]:
    return [resolved(DOCUMENT, one) for one in OPERATIONS[name].get("parameters", [])]


def responses_of(name: str) -> dict[str, dict[str, Any]]:
    return {
        status: resolved(DOCUMENT, one) for status, one in OPERATIONS[name]["responses"].items()
    }


def headers_of(name: str, status: str) -> set[str]:
    return set(responses_of(name)[status]["headers"]) - {"X-Request-ID"}


class TestCommitted:
    def test_is_the_document_of_this_code(self) -> None:
        committed = json.loads(COMMITTED.read_text())
        if committed != FILE:
            broken = "\n".join(breaking_changes(committed, DOCUMENT)) or "none"
            pytest.fail(
                f"docs/openapi.json differs from the code. If that is intended, {REGENERATE}\n"
                f"Changes that break clients: {broken}",
                pytrace=False,
            )

    def test_is_written_as_the_command_writes_it(self) -> None:
        text = json.dumps(json.loads(COMMITTED.read_text()), indent=2, ensure_ascii=False) + "\n"
        assert text == COMMITTED.read_text(), REGENERATE

    async def test_is_what_is_served(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/openapi.json")
        assert answer.headers["content-type"] == "application/json"
        served = answer.json()
        assert served["servers"] == [{"url": "/", "description": "This server"}]
        assert {**served, "servers": SERVERS} == json.loads(COMMITTED.read_text())
        assert (await client.get("/openapi.json")).content == answer.content


def apply(change: str, document: dict[str, Any]) -> None:
    """Run a statement on the document. `query` has the parameters of the list of items by name."""
    listed = document["paths"]["/items"]["get"]["parameters"]
    query = {one["name"]: one for one in listed if "name" in one}
    exec(change, {"paths": document["paths"], "query": query, **document["components"]})


class TestBreakingChanges:
    def test_none_between_a_document_and_itself(self) -> None:
        assert breaking_changes(DOCUMENT, DOCUMENT) == []

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            (
                "del paths['/items/{item_id}/reservation']",
                "GET /items/{item_id}/reservation: removed",
            ),
            ("del paths['/items']['post']", "POST /items: removed"),
            ("paths['/items']['post']['operationId'] = 'x'", "POST /items: operationId is another"),
            (
                "del paths['/items']['post']['responses']['422']",
                "POST /items: no longer documents 422",
            ),
            (
                "del paths['/items']['post']['responses']['201']['headers']['ETag']",
                "POST /items 201: header ETag removed",
            ),
            (
                "del paths['/items']['post']['requestBody']['content']['multipart/form-data']",
                "POST /items request: multipart/form-data removed",
            ),
            (
                "paths['/items']['get']['parameters'].remove(query['limit'])",
                "GET /items query limit: removed",
            ),
            (
                "query['limit']['required'] = True",
                "GET /items query limit: is required",
            ),
            (
                "query['limit']['schema']['maximum'] = 100",
                "GET /items query limit: maximum is 100",
            ),
            (
                "query['limit']['schema']['minimum'] = 5",
                "GET /items query limit: minimum is 5",
            ),
            (
                "query['limit']['schema']['type'] = 'string'",
                "GET /items query limit: no longer takes integer",
            ),
            (
                "query['sort']['schema']['enum'].remove('price')",
                "GET /items query sort: value price removed",
            ),
            (
                "query['name']['schema']['enum'] = ['Lamp']",
                "GET /items query name: takes some values only",
            ),
            (
                "parameters['Idempotency-Key']['schema']['pattern'] = '^x$'",
                "POST /items header Idempotency-Key: pattern is ^x$",
            ),
            (
                "del schemas['ItemCreate']['properties']['price']",
                "POST /items request price: removed",
            ),
            (
                "schemas['ItemCreate']['required'].append('price')",
                "POST /items request price: is required",
            ),
            (
                "schemas['ItemCreate']['properties']['description']['type'].remove('null')",
                "POST /items request description: no longer takes null",
            ),
            (
                "del schemas['ItemRead']['properties']['price']",
                "GET /items 200 data[] price: removed",
            ),
            (
                "schemas['ItemRead']['required'].remove('price')",
                "GET /items 200 data[] price: is not required",
            ),
            (
                "schemas['ItemRead']['properties']['price']['type'] = 'number'",
                "GET /items 200 data[] price: may be number",
            ),
        ],
    )
    def test_names(self, change: str, expected: str) -> None:
        changed = copy.deepcopy(DOCUMENT)
        apply(change, changed)
        assert expected in breaking_changes(DOCUMENT, changed)

    def test_a_body_where_none_was_required(self) -> None:
        before = copy.deepcopy(DOCUMENT)
        before["paths"]["/items"]["post"]["requestBody"]["required"] = False
        assert breaking_changes(before, DOCUMENT) == ["POST /items: a body is required"]

    @pytest.mark.parametrize(
        "change",
        [
            "paths['/new'] = paths['/items']",
            "schemas['ItemCreate']['properties']['colour'] = {'type': 'string'}",
            "schemas['ItemRead']['properties']['colour'] = {'type': 'string'}",
            "query['sort']['schema']['enum'].append('owner')",
            "schemas['ItemCreate']['properties']['name']['maxLength'] = 60",
            "schemas['ItemCreate']['properties']['name'] = {}",
            "paths['/items']['get']['responses']['418'] = {}",
        ],
    )
    def test_additions_are_none(self, change: str) -> None:
        changed = copy.deepcopy(DOCUMENT)
        apply(change, changed)
        assert changed != DOCUMENT
        assert breaking_changes(DOCUMENT, changed) == []


class TestWhole:
    def test_says_what_it_is(self) -> None:
        assert DOCUMENT["openapi"].startswith("3.1.")
        info = DOCUMENT["info"]
        assert info.keys() == {"title", "version", "summary", "description", "contact", "license"}
        assert info["version"] == version
        assert DOCUMENT["servers"]

    def test_tags_are_described_and_used(self) -> None:
        declared = {tag["name"] for tag in DOCUMENT["tags"] if tag["description"]}
        assert declared == {tag for one in OPERATIONS.values() for tag in one["tags"]}

    def test_operation_ids_are_unique(self) -> None:
        operations = [one for methods in DOCUMENT["paths"].values() for one in methods.values()]
        assert len(operations) == len(OPERATIONS)

    @pytest.mark.parametrize("whole", [DOCUMENT, SDK_DOCUMENT], ids=["all", "sdk"])
    def test_references_lead_somewhere_and_nothing_is_left_over(
        self, whole: dict[str, Any]
    ) -> None:
        used = {one["$ref"] for one in parts(whole) if "$ref" in one}
        assert used == {
            f"#/components/{section}/{name}"
            for section, components in whole["components"].items()
            for name in components
            if section != "securitySchemes"  # referred to by name
        }

    def test_credentials_may_be_needed(self) -> None:
        [(name, scheme)] = DOCUMENT["components"]["securitySchemes"].items()
        assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
        assert DOCUMENT["security"] == [{name: []}, {}]
        assert not any("security" in operation for operation in OPERATIONS.values())


class TestOperation:
    @each_operation
    def test_is_named_and_described(self, name: str) -> None:
        operation = OPERATIONS[name]
        assert re.fullmatch("[a-z]+(_[a-z]+)+", name)
        assert operation["summary"]
        assert operation["description"].endswith(".")
        assert len(operation["tags"]) == 1

    @each_operation
    def test_every_answer_is_described(self, name: str) -> None:
        for status, answer in responses_of(name).items():
            assert answer["description"] != "Successful Response"
            assert "X-Request-ID" in answer["headers"]
            content = answer.get("content", {})
            if status in ("204", "304"):
                assert content == {}
            elif status == "200" and name in EXPORTS:
                stream = {"schema": {"type": "string"}}
                assert content == {"application/x-ndjson": stream, "text/csv": stream}
            elif status < "300":
                assert list(content) == ["application/json"]
                assert content["application/json"]["schema"].keys() == {"$ref"}
            else:
                problem = {"$ref": "#/components/schemas/Problem"}
                assert content == {"application/problem+json": {"schema": problem}}

    @each_operation
    def test_refers_to_its_problems(self, name: str) -> None:
        for status, answer in OPERATIONS[name]["responses"].items():
            assert (answer.keys() == {"$ref"}) is (status >= "400")

    @each_operation
    def test_may_always_fail(self, name: str) -> None:
        assert {"401", "403", "422", "500", "503"} <= OPERATIONS[name]["responses"].keys()
        assert headers_of(name, "401") == headers_of(name, "403") == {"WWW-Authenticate"}
        assert headers_of(name, "503") == {"Retry-After"}

    @each_operation
    def test_parameters_are_described_and_never_null(self, name: str) -> None:
        for parameter in parameters_of(name):
            assert parameter["description"]
            assert not {"anyOf", "oneOf", "$ref"} & parameter["schema"].keys()
            assert "null" not in json.dumps(parameter["schema"].get("type"))

    @each_operation
    def test_the_headers_it_takes(self, name: str) -> None:
        taken = {one["name"] for one in parameters_of(name) if one["in"] == "header"}
        expected = (
            (WRITES | DELETES | RETRIEVES, {"If-Match", "If-None-Match"}),
            (LINK_WRITES, {"If-None-Match"}),
            (CREATES | BATCH_WRITES | IMPORTS, {"Idempotency-Key"}),
        )
        assert taken == next((headers for names, headers in expected if name in names), set())

    @each_operation
    def test_the_headers_it_gives(self, name: str) -> None:
        given = {
            status: headers_of(name, status)
            for status in OPERATIONS[name]["responses"]
            if headers_of(name, status)
        }
        del given["401"], given["403"]
        assert given.pop("503") == {"Retry-After"}
        rate = {"RateLimit", "RateLimit-Policy"}
        assert given.pop("429") == {*rate, "Retry-After"}
        for status in ("200", "201", "204"):
            if status in given:
                assert rate <= given[status]
                given[status] -= rate
        given = {status: headers for status, headers in given.items() if headers}
        if name in CREATES:
            headers = {"201": {"ETag", "Location", "Idempotency-Replayed"}, "409": {"Retry-After"}}
        elif name in BATCH_WRITES | IMPORTS:
            (done,) = given.keys() & {"200", "201", "204"} - (
                {"200"} if "_create_" in name else set()
            )
            headers = {done: {"Idempotency-Replayed"}, "409": {"Retry-After"}}
        elif name in RETRIEVES:
            headers = {"200": {"ETag"}, "304": {"ETag"}, "412": {"ETag"}}
        elif name in WRITES:
            headers = {"200": {"ETag"}, "412": {"ETag"}}
        elif name in DELETES:
            headers = {"412": {"ETag"}}
        elif name in EXPORTS:
            headers = {"200": {"Content-Disposition", "Content-Encoding"}}
        else:
            headers = {"200": {"Link"}} if name in LISTS else {}
        if "requestBody" in OPERATIONS[name]:
            patch = {"Accept-Patch"} if name.startswith("change_") else set()
            headers |= {"415": {"Accept-Encoding"} | patch}
        assert given == headers

    @each_operation
    def test_the_links_it_gives(self, name: str) -> None:
        links = {
            (status, link_name): link
            for status, answer in responses_of(name).items()
            for link_name, link in answer.get("links", {}).items()
        }
        expected = {("201", "resource")} if name in CREATES else set()
        expected |= {("200", "next_page")} if name in LISTS else set()
        assert links.keys() == expected
        for link in links.values():
            assert link["operationId"] in (RETRIEVES if name in CREATES else {name})
            target = {one["name"]: one for one in parameters_of(link["operationId"])}
            assert link["parameters"].keys() <= target.keys()
            required = {each for each, one in target.items() if one.get("required")}
            assert required <= link["parameters"].keys()
            assert link["description"]

    @each_operation
    def test_says_what_goes_with_a_cursor_and_what_if_match_takes(self, name: str) -> None:
        parameters = {one["name"]: one["description"] for one in parameters_of(name)}
        said = {
            "cursor": "filters and sort must be given again",
            "If-Match": "`version` in the body, in quotes",
        }
        for parameter, words in said.items():
            assert parameter not in parameters or words in parameters[parameter]

    @each_operation
    def test_the_bodies_it_takes(self, name: str) -> None:
        body = OPERATIONS[name].get("requestBody")
        if body is None:
            assert not name.startswith(("create_", "replace_", "change_", "put_"))
            assert name not in BATCH_WRITES | IMPORTS
            return
        assert body["required"]
        if name.startswith("change_"):
            expected = ["application/merge-patch+json", "application/json"]
        elif name.startswith(("put_", "batch_")):
            expected = ["application/json"]
        elif name in IMPORTS:
            expected = ["text/csv", "application/x-ndjson"]
        else:
            expected = WITH_FORMS
        assert list(body["content"]) == expected
        for content in body["content"].values():
            schema = resolved(DOCUMENT, content["schema"])
            assert content["example"] == schema["examples"][0]

    @pytest.mark.parametrize("name", sorted(CREATES | REPLACES))
    def test_each_kind_of_form_has_a_schema_of_its_own(self, name: str) -> None:
        content = OPERATIONS[name]["requestBody"]["content"]
        references = [content[media_type]["schema"]["$ref"] for media_type in WITH_FORMS]
        assert len(set(references)) == len(WITH_FORMS)
        fields, *forms = [resolved(DOCUMENT, {"$ref": one})["properties"] for one in references]
        for form in forms:
            assert form.keys() == fields.keys()
            assert not any({"anyOf", "$ref"} & field.keys() for field in form.values())

    @each_operation
    def test_what_validate_only_is_answered_with(self, name: str) -> None:
        """The body of the request's own response, without an ETag and a Location."""
        takes = "validate_only" in {one["name"] for one in parameters_of(name)}
        assert takes is (name in CREATES | WRITES | BATCH_WRITES | IMPORTS)
        responses = responses_of(name)
        if takes and "201" in responses:
            assert responses["200"]["content"] == responses["201"]["content"]
            assert headers_of(name, "200") == {"RateLimit", "RateLimit-Policy"}
        elif name in WRITES:
            header = responses["200"]["headers"]["ETag"]
            assert "required" not in resolved(DOCUMENT, header)
        elif "200" in responses and name in RETRIEVES:
            assert resolved(DOCUMENT, responses["200"]["headers"]["ETag"])["required"]
        else:
            assert not {"200", "201"} <= responses.keys() or name in LINK_WRITES

    @pytest.mark.parametrize("name", sorted(BATCHES))
    def test_a_batch_has_its_limits(self, name: str) -> None:
        if name in BATCH_WRITES:
            content = OPERATIONS[name]["requestBody"]["content"]["application/json"]
            rows = resolved(DOCUMENT, content["schema"])["properties"]["data"]
            assert (rows["minItems"], rows["maxItems"]) == (1, 1000)
        else:
            (ids,) = parameters_of(name)
            assert (ids["name"], ids["required"]) == ("id", True)
            assert (ids["schema"]["minItems"], ids["schema"]["maxItems"]) == (1, 200)


class TestSchema:
    def validator(self, schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
        components = {"components": DOCUMENT["components"]}
        return jsonschema_rs.Draft202012Validator(schema | components, validate_formats=True)

    def validate(self, schema: dict[str, Any], value: Any) -> None:
        self.validator(schema).validate(value)

    @each_schema
    def test_has_examples_of_itself(self, name: str) -> None:
        assert SCHEMAS[name]["examples"]
        for example in SCHEMAS[name]["examples"]:
            assert set(example) >= set(SCHEMAS[name].get("required", ()))
            self.validate({"$ref": f"#/components/schemas/{name}"}, example)

    def test_every_example_is_valid(self) -> None:
        described = [one for one in parts(DOCUMENT) if {"example", "examples"} & one.keys()]
        assert len(described) > 50
        for one in described:
            examples = one.get("examples", [one.get("example")])
            for example in examples if isinstance(examples, list) else []:
                self.validate(one.get("schema", one), example)

    @each_schema
    def test_has_a_name_for_its_purpose(self, name: str) -> None:
        assert re.fullmatch(
            f"({TITLES})((Create|Replace)(Form|Multipart)?|Change|Read|Page"
            "|Batch(Create|Update|Change|Found)?)|BatchDelete|RowVersion"
            "|(Link|Wish)Replace|(Account|Item)(Link|Wish)(Page)?|PriceInput|Fault|Problem|ImportReport",
            name,
        )
        assert SCHEMAS[name]["title"] == name
        assert SCHEMAS[name]["description"]

    @pytest.mark.parametrize("pattern", sorted(PATTERNS))
    def test_patterns_mean_the_same_to_every_engine(self, pattern: str) -> None:
        """ASCII, without lookaround, possessive quantifiers, and classes such as `\\s` or `.`."""
        assert pattern.isascii()
        assert pattern.isprintable()
        re.compile(pattern)
        plain = re.sub(r"\\(x[0-9a-f]{2}|[t.*])", "x", pattern)
        assert "\\" not in plain
        assert not re.search(r"\(\?(?!:)|[*+?}][+?]", plain)
        assert "." not in re.sub(r"\[[^]]*\]", "", plain)

    @pytest.mark.parametrize("form", FORMS)
    def test_a_form_may_leave_empty_what_may_be_null(self, form: str) -> None:
        example = SCHEMAS[form]["examples"][0]
        fields = SCHEMAS[re.sub("Form|Multipart", "", form)]["properties"]
        for name, field in fields.items():
            may_be_null = any(
                one.get("type") in (None, "null") for one in alternatives(DOCUMENT, field)
            )
            validator = self.validator(SCHEMAS[form])
            assert validator.is_valid({**example, name: ""}) is may_be_null, name

    def test_only_components_have_titles(self) -> None:
        """Generators would name a type after the title of a field, which says no more than its
        name.
        """
        inner = [one for schema in SCHEMAS.values() for one in parts(schema.get("properties", {}))]
        asked = [one["schema"] for name in OPERATIONS for one in parameters_of(name)]
        assert not any(isinstance(one.get("title"), str) for one in [*inner, *asked])

    def test_bounds_of_whole_numbers_are_whole(self) -> None:
        bounds = re.findall(r'"(?:exclusiveM|m)(?:in|ax)imum": (\S+?),?\n', COMMITTED.read_text())
        assert len(bounds) > 10
        assert {one for one in bounds if "." in one} == {"9999999999.99"}

    @each_schema
    def test_null_is_a_type_beside_another(self, name: str) -> None:
        """So that the description and the limits of a field belong to all of it."""
        for part in parts(SCHEMAS[name]):
            assert "anyOf" not in part
            if "oneOf" in part and NULL in part["oneOf"]:
                assert [one.keys() for one in part["oneOf"]] == [{"$ref"}, {"type"}]

    def test_a_price_is_one_schema(self) -> None:
        text, number = SCHEMAS["PriceInput"]["oneOf"]
        assert (text["type"], number["type"], number["format"]) == ("string", "number", "double")
        reference = {"$ref": "#/components/schemas/PriceInput"}
        for name in ("ItemCreate", "ItemReplace", "ItemChange"):
            assert SCHEMAS[name]["properties"]["price"]["oneOf"] == [reference, NULL]
        for form in ("ItemCreateForm", "ItemCreateMultipart"):
            price = SCHEMAS[form]["properties"]["price"]
            assert {one["type"] for one in alternatives(DOCUMENT, price)} == {"string"}
        for price in (0, 0.29, 1.1, 19.99, 1234567.89, 9999999999.99, "19.99", "0"):
            self.validate(reference, price)

    @each_schema
    def test_what_is_read_has_all_its_fields(self, name: str) -> None:
        if not re.search(f"{SENT}|Input|Fault", name):
            optional = {"report", "more_errors"} if name == "Problem" else set()
            fields = [field for field in SCHEMAS[name]["properties"] if field not in optional]
            assert SCHEMAS[name]["required"] == fields

    @each_schema
    def test_what_is_sent_is_limited(self, name: str) -> None:
        if re.search(SENT, name):
            assert SCHEMAS[name]["additionalProperties"] is False
        if re.search(f"{SENT}|Input", name):
            for part in parts(SCHEMAS[name]):
                assert is_limited(part), part

    @each_operation
    def test_what_is_asked_is_limited(self, name: str) -> None:
        for parameter in parameters_of(name):
            for part in parts(parameter["schema"]):
                # The number of entity tags is limited, not the length of the header.
                assert is_limited(part) or parameter["name"] in ("If-Match", "If-None-Match"), part

    def test_values_of_a_set_are_listed(self) -> None:
        for name in LISTS:
            listed = {one["name"] for one in parameters_of(name) if "enum" in one["schema"]}
            assert listed == {"sort", "count"}

    def test_values_that_are_no_identifiers_have_names(self) -> None:
        enums = [one for one in parts(DOCUMENT) if isinstance(one.get("enum"), list)]
        named = [one for one in enums if "x-enum-varnames" in one]
        assert len(named) == len(LISTS | EXPORTS)
        for one in enums:
            names = one.get("x-enum-varnames", one["enum"])
            assert len(set(names)) == len(names) == len(one["enum"])
            assert all(name.isidentifier() for name in names)
        for one in named:
            assert "default" not in one  # a generator calls it by another name
            for name, value in zip(one["x-enum-varnames"], one["enum"], strict=True):
                field, _, direction = name.rpartition("_")
                assert value == {"asc": field, "desc": f"-{field}"}[direction]

    def test_codes_are_listed_but_not_closed(self) -> None:
        code = SCHEMAS["Fault"]["properties"]["code"]
        assert code["examples"] == list(get_args(FaultCode))
        assert "enum" not in code


def is_limited(schema: dict[str, Any]) -> bool:
    limits = {"string": {"maxLength", "enum"}, "integer": {"maximum"}, "number": {"maximum"}}
    limits["array"] = {"maxItems"}
    each = [(one, limits.get(str(one.get("type")))) for one in alternatives(DOCUMENT, schema)]
    return all(needed is None or needed & one.keys() for one, needed in each)


def test_methods_are_those_that_are_compared() -> None:
    assert {method for methods in DOCUMENT["paths"].values() for method in methods} == set(METHODS)
