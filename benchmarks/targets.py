"""What a contestant is asked for: ids, pages and countries, as the file that load.lua reads."""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from benchmarks.client import Client
from benchmarks.contacts import COUNTRIES, domains, phone_beginnings
from benchmarks.contestants.registry import Contestant
from benchmarks.data import Amount, account, account_id, created
from benchmarks.server import headers_of

PAGE_SIZE = 50
_IDS = 20_000
_PAGES = 500
_FIELDS = ("id", "email", "dob", "country", "phone_number")


@dataclass(frozen=True)
class Targets:
    """Paths by operation. `people` are the numbers of the accounts in `get`, in the same order."""

    people: list[int]
    paths: dict[str, list[str]]

    def write(self, path: Path, contestant: Contestant) -> None:
        lines = ["return {", f"form = {json.dumps(contestant.form)},"]
        lines += [f"accounts = {json.dumps(contestant.paths.accounts)},", "headers = {"]
        headers = headers_of(contestant, path.parent)
        lines += [f"[{json.dumps(name)}] = {json.dumps(value)}," for name, value in headers.items()]
        lines.append("},")
        phones = phone_beginnings()
        lists = {
            **self.paths,
            "countries": list(phones),
            "phones": list(phones.values()),
            "domains": domains(),
        }
        for name, values in lists.items():
            lines += [f"{name} = {{", *(f"{json.dumps(value)}," for value in values), "},"]
        lines.append("people = {")
        for person in map(account, self.people):
            fields = [f"{name}={json.dumps(person[name])}" for name in _FIELDS]
            lines.append("{" + ",".join(fields) + "},")
        path.write_text("\n".join([*lines, "}", "}"]))


def make_targets(contestant: Contestant, client: Client, amount: Amount) -> Targets:
    """Random ids and random pages, a seed for all contestants alike.

    Signed cursors are opaque, so they are collected by walking the list; the others take the
    instant before which a page lies.
    """
    chance = random.Random(3)
    paths = contestant.paths
    people = chance.sample(range(1, amount.accounts + 1), min(_IDS, amount.accounts))
    if contestant.promises:
        pages = _walk(client)
    else:
        last = range(PAGE_SIZE + 1, amount.accounts + 1)
        numbers = chance.sample(last, min(_PAGES, len(last)))
        pages = [paths.page.format(limit=PAGE_SIZE, before=_instant(n)) for n in numbers]
    return Targets(
        people,
        {
            "get": [
                "/" if contestant.constant else f"{paths.accounts}/{account_id(n)}" for n in people
            ],
            "list": [f"{paths.accounts}?{page}" for page in pages],
            "filter": [
                f"{paths.accounts}?{paths.country.format(limit=PAGE_SIZE, country=country)}"
                for country in COUNTRIES
            ],
        },
    )


def _instant(number: int) -> str:
    return quote(created(number).isoformat().replace("+00:00", "Z"))


def _walk(client: Client) -> list[str]:
    """Cursors all over the list but for its end, behind which there is no full page."""
    cursors: list[str] = []
    page = client.get_json("/accounts?limit=200")
    while page["next_cursor"]:
        cursors.append(page["next_cursor"])
        page = client.get_json(f"/accounts?limit=200&cursor={cursors[-1]}")
    if len(page["data"]) < PAGE_SIZE:
        del cursors[-1]
    return [f"limit={PAGE_SIZE}&cursor={cursor}" for cursor in cursors]
