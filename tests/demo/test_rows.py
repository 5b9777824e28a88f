"""The rows of demo data: plausible, of many countries and scripts, and the same for a seed."""

import itertools
import os
import subprocess
import sys
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import phonenumbers
import pytest

from app.accounts.phones import e164
from app.accounts.schemas import AccountCreate
from app.demo import rows as demo
from app.demo.tables import LANGUAGES, Language
from app.items.schemas import ItemCreate

PHONES = [phone for language in LANGUAGES for phone in language.phones.split()]


def rows_of(seed: int, accounts: int, items: int) -> dict[str, list[dict[str, Any]]]:
    chance, people, things = Random(seed), list[demo.Made](), list[demo.Made]()
    return {
        "accounts": list(demo.account_rows(chance, seed, accounts, people)),
        "items": list(demo.item_rows(chance, items, people, things)),
        "favorites": list(demo.favorite_rows(chance, people, things)),
        "reservations": list(demo.reservation_rows(chance, people, things)),
        "wishes": list(demo.wish_rows(chance, people, things)),
    }


def milliseconds_of(row: dict[str, Any]) -> int:
    return int(row["created"].timestamp() * 1000)


@pytest.mark.parametrize("phone", PHONES)
def test_numbers_are_valid_in_their_country(phone: str) -> None:
    country, form = phone[:2], phone[2:]
    count = form.count("#")
    for number in range(0, 10**count, 10 ** (count - 2)):
        for digits in (f"{number:0{count}}", f"{number:0{count}}"[::-1]):
            text = form.replace("#", "{}").format(*digits)
            assert e164(text, None) == text
            assert phonenumbers.region_code_for_number(phonenumbers.parse(text)) == country


def test_each_country_is_there_once() -> None:
    countries = [phone[:2] for phone in PHONES]
    assert len(countries) == len(set(countries)) > 40


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.phones[:2])
def test_whatever_words_come_together_are_accepted(language: Language) -> None:
    for given in language.given.split():
        for mailbox in filter(None, given.partition("=")[::2]):
            email = f"{mailbox.lower()}1.river1@example.com"
            AccountCreate.model_validate({"email": email, "username": f"{mailbox}99"})
    owner = "01890a5d-ac96-774b-bcce-b302099a8057"
    link = "https://images.example.com/1.jpg"
    for thing, use in itertools.product(language.things.split("|"), language.uses.split("|")):
        name = language.item.format(thing, use)
        ItemCreate.model_validate({"account_id": owner, "name": name, "image_link": link})
        assert thing in name
        assert use in name


def test_all_countries_and_many_scripts_are_used() -> None:
    rows = rows_of(1, 2000, 2000)
    countries = {row["country"] for row in rows["accounts"]}
    assert countries == {*(phone[:2] for phone in PHONES), None}
    for texts in (
        [row["username"] for row in rows["accounts"]],
        [row["email"] for row in rows["accounts"]],
        [row["name"] for row in rows["items"]],
        [row["description"] or "" for row in rows["items"]],
        [row["note"] or "" for row in rows["wishes"]],
    ):
        letters = {char for text in texts for char in text if char.isalpha()}
        scripts = {unicodedata.name(letter).split()[0] for letter in letters}
        assert len(scripts) >= 14


def test_each_optional_field_has_values_and_nulls() -> None:
    rows = rows_of(1, 200, 200)
    for table, field in (
        ("accounts", "dob"),
        ("accounts", "country"),
        ("accounts", "phone_number"),
        ("items", "description"),
        ("wishes", "note"),
    ):
        assert {row[field] is None for row in rows[table]} == {True, False}, field


def test_emails_are_of_domains_that_nobody_has_and_differ_between_seeds() -> None:
    emails = [
        row["email_key"] for seed in (1, 11, 111) for row in rows_of(seed, 500, 1)["accounts"]
    ]
    assert {email.partition("@")[2] for email in emails} == {
        "example.com",
        "example.net",
        "example.org",
    }
    assert len(set(emails)) == len(emails)


def test_nothing_is_older_than_what_it_belongs_to_or_in_the_future() -> None:
    rows = rows_of(1, 50, 200)
    created = {row["id"]: row["created"] for row in (*rows["accounts"], *rows["items"])}
    for row in (row for table in rows.values() for row in table):
        ends = (created[row[name]] for name in ("account_id", "item_id") if name in row)
        assert max((demo.FIRST, *ends)) <= row["created"] <= demo.LAST < datetime.now(UTC)


def test_ids_are_those_of_the_instants() -> None:
    rows = rows_of(1, 50, 50)
    for row in (*rows["accounts"], *rows["items"]):
        assert row["id"].int >> 80 == milliseconds_of(row)
        assert (row["id"].version, row["id"].variant) == (7, "specified in RFC 4122")
        assert row["updated"] == row["created"]


@pytest.mark.parametrize(("accounts", "items"), [(1, 1), (1, 5), (5, 1), (2, 2)])
def test_each_relation_is_there_however_few_rows_there_are(accounts: int, items: int) -> None:
    rows = rows_of(1, accounts, items)
    assert [len(rows[table]) for table in ("accounts", "items")] == [accounts, items]
    for table, key in (
        ("favorites", ("account_id",)),
        ("reservations", ("account_id",)),
        ("reservations", ("item_id",)),
        ("wishes", ("account_id", "item_id")),
    ):
        keys = [tuple(row[name] for name in key) for row in rows[table]]
        assert len(keys) == len(set(keys)) > 0, table


def test_a_seed_makes_the_same_rows_in_each_process() -> None:
    root = str(Path(__file__).parents[2])
    program = "from tests.demo.test_rows import rows_of; print(ascii(rows_of(1, 100, 100)))"
    printed = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={
                **os.environ,
                "PYTHONPATH": root,
                "PYTHONHASHSEED": seed,
            },
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert printed == [ascii(rows_of(1, 100, 100))] * 2
    assert rows_of(2, 100, 100)["accounts"] != rows_of(1, 100, 100)["accounts"]
