"""Each row of a file follows the rules by which POST takes its body."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from app.resources.import_statements import Statements
from tests.api import bad_values
from tests.catalog import CATALOG, Entry, entry_of, every_resource
from tests.factories import account_body, item_body
from tests.imports import as_csv, as_ndjson, check, importable_of

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ANY_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
BAD_VALUES = {"/accounts": bad_values.ACCOUNTS, "/items": bad_values.ITEMS}
SYSTEM = ("id", "created", "updated", "version")


def found(faults: Any) -> list[tuple[str, str, str]]:
    return [(fault["pointer"], fault["code"], fault["detail"]) for fault in faults]


def codes(entry: Entry, row: dict[str, Any], **options: Any) -> list[tuple[str, str]]:
    """The faults of a row of NDJSON."""
    _, faults = check(entry, as_ndjson([row]), **options)
    return [(fault["pointer"], fault["code"]) for fault in faults]


def cells(entry: Entry, row: dict[str, Any], **options: Any) -> dict[str, str]:
    """What is staged of a good row, by the names of the columns."""
    lines, faults = check(entry, as_ndjson([row]), **options)
    assert faults == []
    (line,) = lines
    columns = Statements(importable_of(entry)).staged.columns.keys()
    return dict(zip(columns, line.decode().removesuffix("\n").split("\t"), strict=True))


async def faults_of_post(client: httpx.AsyncClient, entry: Entry, body: Any) -> Any:
    answer = await client.post(entry.path, json=body)
    assert answer.status_code == 422, answer.text
    return found(answer.json()["errors"])


def bad_bodies(entry: Entry) -> Iterator[dict[str, Any]]:
    """A value for each rule of each field, all fields at once, and none of them."""
    body = {**entry.body(1), **dict.fromkeys(entry.parents(), ANY_ID)}
    for name, by_code in BAD_VALUES[entry.path].items():
        if name not in SYSTEM:
            yield from ({**body, name: value} for values in by_code.values() for value in values)
    yield from ({**body, name: value} for name, (value, _) in entry.bad.items())
    yield {name: value for name, (value, _) in entry.bad.items()}
    yield {}
    yield {**body, "x/y~z": 1}
    yield {**body, "n" * 1000: 1}


@every_resource
class TestRulesOfPost:
    async def test_refuse_the_same_rows_for_the_same_reasons(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        for body in bad_bodies(entry):
            _, faults = check(entry, as_ndjson([body]))
            assert found(faults) == await faults_of_post(client, entry, body), body

    async def test_refuse_the_same_cells_as_values_of_a_form(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        names = [*entry.parents(), *entry.body(1)]
        for body in bad_bodies(entry):
            if {*body} != {*names} or any(isinstance(each, list | dict) for each in body.values()):
                continue
            row = {name: "" if body[name] is None else str(body[name]) for name in names}
            _, faults = check(entry, as_csv([row]))
            answer = await client.post(entry.path, content=urlencode(row), headers=FORM)
            expected = answer.json()["errors"] if answer.status_code == 422 else []
            assert found(faults) == [each for each in found(expected) if each[1] != "not_found"], (
                row
            )

    async def test_take_what_post_takes(self, client: httpx.AsyncClient, entry: Entry) -> None:
        bodies = [await entry.valid_body(client) for _ in range(30)]
        lines, faults = check(entry, as_ndjson(bodies))
        assert (len(lines), faults) == (len(bodies), [])
        lines, faults = check(entry, as_csv(bodies))
        assert (len(lines), faults) == (len(bodies), [])
        for body in bodies:
            assert (await client.post(entry.path, json=body)).status_code == 201

    def test_of_columns_that_post_needs_hold_for_the_header(self, entry: Entry) -> None:
        fields = importable_of(entry).create.model_fields
        assert [*entry.bad] == [*fields]  # the tests above try all of them

    def test_take_the_columns_of_the_system(self, entry: Entry) -> None:
        body = {**entry.body(1), **dict.fromkeys(entry.parents(), ANY_ID)}
        row = {**body, "id": ANY_ID, "created": "x", "updated": [], "version": {"a": 1}}
        assert cells(entry, row)["given_id"] == ANY_ID
        for missing in ({}, dict.fromkeys(SYSTEM)):
            assert cells(entry, {**body, **missing})["given_id"] == "\\N"

    @pytest.mark.parametrize(
        ("value", "code"),
        [("", "invalid_format"), ("1", "invalid_format"), (1, "wrong_type"), ([], "wrong_type")],
    )
    def test_refuse_an_id_that_is_none(self, entry: Entry, value: Any, code: str) -> None:
        body = {**entry.body(1), **dict.fromkeys(entry.parents(), ANY_ID)}
        assert codes(entry, {**body, "id": value}) == [("/id", code)]

    def test_tell_the_faults_of_all_fields_at_once(self, entry: Entry) -> None:
        row = {"id": 1, "created": "now", **{name: value for name, (value, _) in entry.bad.items()}}
        _, faults = check(entry, as_ndjson([row]), keeps_ids=True)
        assert {fault["row"] for fault in faults} == {1}
        assert {fault["pointer"] for fault in faults} == {f"/{name}" for name in row}


class TestNumbers:
    def test_begin_with_1_and_leave_out_blank_lines(self) -> None:
        good, bad = account_body(), account_body(email="x")
        data = as_csv([good, bad, good]).replace(b"\r\n", b"\r\n\r\n") + as_csv([bad])[25:]
        lines, faults = check(entry_of("/accounts"), data)
        assert [line.partition(b"\t")[0] for line in lines] == [b"1", b"3"]
        assert [fault["row"] for fault in faults] == [2, 4]

    def test_are_those_of_rows_that_cannot_be_read_too(self) -> None:
        entry = entry_of("/accounts")
        _, faults = check(entry, b"email,username\na\nb,c,d\n")
        assert [(fault["row"], fault["pointer"], fault["code"]) for fault in faults] == [
            (1, "", "too_short"),
            (2, "", "too_long"),
        ]


class TestValues:
    def test_with_nul_are_refused(self) -> None:
        entry = entry_of("/accounts")
        _, faults = check(entry, b"email,username\na\0@example.com,b\n")
        assert found(faults) == [("/email", "invalid_format", "Holds a NUL or a lone surrogate.")]
        for escape in (r"\u0000", r"\ud800"):
            row = f'{{"email": "a@example.com", "username": "b{escape}"}}'.encode()
            _, faults = check(entry, row)
            assert [(fault["pointer"], fault["code"]) for fault in faults] == [
                ("/username", "invalid_format")
            ]

    def test_that_are_given_twice_are_refused(self) -> None:
        row = b'{"email": "a@example.com", "username": "b", "username": "b", "id": 1, "id": 2}'
        _, faults = check(entry_of("/accounts"), row)
        assert [(fault["pointer"], fault["code"]) for fault in faults] == [
            ("/id", "duplicate"),
            ("/username", "duplicate"),
        ]

    def test_are_escaped_for_copy(self) -> None:
        body = item_body(ANY_ID, name="\\N", description="a\tb\nc\rd\\.\\\x08")
        staged = cells(entry_of("/items"), body)
        assert staged["name"] == "\\\\N"
        assert staged["description"] == "a\\tb\\nc\\rd\\\\.\\\\\x08"

    def test_that_are_given_are_marked(self) -> None:
        entry = entry_of("/items")
        full = item_body(ANY_ID, description=None)
        fields = [*importable_of(entry).create.model_fields]
        assert int(cells(entry, full)["given"]) == 2 ** len(fields) - 1
        del full["price"], full["description"]
        bits = int(cells(entry, full)["given"])
        assert [name for n, name in enumerate(fields) if not bits >> n & 1] == [
            "price",
            "description",
        ]


class TestKeptIds:
    ROW = account_body(
        id="00000000-0000-4000-8000-00000000000A",
        created="2022-05-17 10:00:00+00",
        updated="2022-05-17 12:00:00.123456+02",
    )

    def test_and_instants_are_taken_as_postgresql_prints_them(self) -> None:
        staged = cells(entry_of("/accounts"), self.ROW, keeps_ids=True)
        assert staged["given_id"] == self.ROW["id"].lower()
        assert staged["created"] == "2022-05-17 10:00:00+00:00"
        assert staged["updated"] == "2022-05-17 10:00:00.123456+00:00"

    def test_may_be_missing(self) -> None:
        for row in (account_body(), account_body(id=None, created=None, updated=None)):
            staged = cells(entry_of("/accounts"), row, keeps_ids=True)
            assert {staged[name] for name in ("given_id", "created", "updated")} == {"\\N"}

    def test_are_not_taken_unless_asked_for(self) -> None:
        staged = cells(entry_of("/accounts"), self.ROW)
        assert (staged["created"], staged["updated"]) == ("\\N", "\\N")
        assert staged["new_id"] != staged["given_id"]

    @pytest.mark.parametrize("name", ["created", "updated"])
    @pytest.mark.parametrize(
        ("value", "code"),
        [
            ("2022-05-17 10:00:00", "invalid_format"),
            ("infinity", "invalid_format"),
            ("0044-03-15 12:00:00+00 BC", "invalid_format"),
            ("2022-02-30T10:00:00Z", "invalid_format"),
            (1652781600, "wrong_type"),
        ],
    )
    def test_need_instants(self, name: str, value: Any, code: str) -> None:
        row = account_body(**{name: value})
        assert codes(entry_of("/accounts"), row, keeps_ids=True) == [(f"/{name}", code)]
        assert codes(entry_of("/accounts"), row) == []


class TestOwnersByEmail:
    ENTRY = entry_of("/items")

    def row(self, **fields: Any) -> dict[str, Any]:
        body = item_body(ANY_ID)
        del body["account_id"]
        return {**body, **fields}

    def test_are_compared_as_accounts_are(self) -> None:
        staged = cells(self.ENTRY, self.row(account_email=" ADA@Example.com"))
        assert (staged["account_email"], staged["account_id"]) == ("ada@example.com", "\\N")

    def test_are_one_way_of_two(self) -> None:
        both = self.row(account_email="ada@example.com", account_id=ANY_ID)
        assert codes(self.ENTRY, both) == [("/account_id", "duplicate")]
        neither = self.row(account_email=None, account_id=None)
        assert codes(self.ENTRY, neither) == [("/account_id", "null_not_allowed")]
        assert codes(self.ENTRY, self.row()) == [("/account_id", "required")]
        assert codes(self.ENTRY, self.row(account_email=None, account_id=ANY_ID)) == []
        assert codes(self.ENTRY, self.row(account_email="a@b.example", account_id=None)) == []

    @pytest.mark.parametrize("value", [1, True, [], {"a": 1}])
    def test_are_text(self, value: Any) -> None:
        assert codes(self.ENTRY, self.row(account_email=value)) == [
            ("/account_email", "wrong_type")
        ]

    def test_with_nul_are_refused(self) -> None:
        data = as_csv([self.row(account_email="a\0@example.com")])
        _, faults = check(self.ENTRY, data)
        assert [(fault["pointer"], fault["code"]) for fault in faults] == [
            ("/account_email", "invalid_format")
        ]

    def test_are_a_column_in_place_of_another(self) -> None:
        data = as_csv([self.row(account_email="a@example.com")])
        lines, faults = check(self.ENTRY, data)
        assert (len(lines), faults) == (1, [])


def test_each_resource_is_imported() -> None:
    assert [importable_of(entry).resource for entry in CATALOG] == [
        entry.resource for entry in CATALOG
    ]
