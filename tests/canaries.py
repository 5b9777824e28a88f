"""Requests full of values to look for where none may occur: in logs, traces and problems."""

import json
from collections.abc import Iterator
from typing import Any

import httpx

from app.resources.fields import PRICE_PATTERN
from tests.applications import document
from tests.catalog import CATALOG, Entry
from tests.json_schemas import alternatives

# In values, whole or as a part; and the few that cannot hold a word.
WORD = "zqcanary"
DATE = "1961-07-13"
PHONE = "790417365"
PRICE = "7351924.68"
# In names of fields and parameters that do not exist, which problems repeat.
NAME = "zqname"
# In paths, which problems repeat as their `instance`.
PATH = "zqpath"
VALUES = (WORD, DATE, PHONE, PRICE)

HEADERS = {
    "Authorization": f"Bearer {WORD}",
    "Idempotency-Key": WORD,
    "If-Match": f'"{WORD}"',
    "If-None-Match": f'"{WORD}"',
    "X-Request-ID": f"{WORD} is not valid",
    "traceparent": WORD,
    "Cookie": f"session={WORD}",
    "User-Agent": WORD,
    "Referer": f"https://example.com/{WORD}",
    "X-Forwarded-For": WORD,
}
# By format in the document: values of fields that do not take any text.
FORMATS = {"date": DATE}
# Of fields whose form the document does not state.
SPECIAL = {
    "email": f"{WORD}@example.com",
    "country": "Jordan",
    "phone_number": f"+962{PHONE}",
    "image_link": f"https://example.com/{WORD}",
}


def valid_body(entry: Entry) -> dict[str, Any]:
    """A valid body full of canaries, without references."""
    fields = document()["components"]["schemas"][f"{entry.title}Create"]["properties"]
    body = {**entry.body(1), **dict.fromkeys(entry.texts, WORD)}
    for name in body.keys() - {*entry.texts}:
        kinds = alternatives(document(), fields[name])
        values = [FORMATS[one["format"]] for one in kinds if one.get("format") in FORMATS]
        values += [PRICE for one in kinds if one.get("pattern") == PRICE_PATTERN]
        body[name] = SPECIAL.get(name, values[0] if values else body[name])
    return body


VALID = {entry.path: valid_body(entry) for entry in CATALOG}


def bodies(valid: dict[str, Any]) -> Iterator[bytes]:
    """A valid body, one with wrong values alone, one with an unknown field, and broken ones."""
    yield json.dumps(valid).encode()
    yield json.dumps({name: [WORD] for name in valid}).encode()
    yield json.dumps({**valid, **dict.fromkeys(valid, f"{WORD}\x00")}).encode()
    yield json.dumps({**valid, NAME: WORD}).encode()
    yield json.dumps(valid).encode()[:-1]
    yield json.dumps(valid).encode() + WORD.encode()
    yield f'{{"email": "{WORD}", "email": "{WORD}"}}'.encode()


class Canaries:
    """Sends canaries to all operations of a document, and keeps what was answered."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.answers: list[httpx.Response] = []
        self.cursors: set[str] = set()
        self.document: dict[str, Any] = {}

    def send(self, method: str, target: str, **more: Any) -> httpx.Response:
        answer = self.client.request(method, target, **more)
        self.answers.append(answer)
        return answer

    def visit_all(self) -> set[str]:
        """Every operation of the document, with ids that are there; its names."""
        ids: dict[str, str] = {}
        for entry in CATALOG:
            parents = {name: ids[parent.id_name] for name, parent in entry.parents().items()}
            valid = {**VALID[entry.path], **parents}
            created = [self.send("POST", entry.path, json=valid) for _ in range(3)]
            ids[entry.id_name] = created[0].json()["id"]
        wish = "/accounts/{account_id}/wishes/{item_id}".format(**ids)
        self.send("PUT", wish, json={"note": WORD})
        visited = set()
        self.document = self.client.get("/openapi.json").json()
        for template, operations in self.document["paths"].items():
            own = [name for name in operations if name != "parameters"]
            for method in sorted(own, key=lambda name: (name == "delete", name)):
                self.visit(method.upper(), template, template.format(**ids), operations[method])
                visited.add(operations[method]["operationId"])
        return visited

    def resolve(self, parameter: dict[str, Any]) -> dict[str, Any]:
        name = parameter.get("$ref", "").rpartition("/")[2]
        found: dict[str, Any] = self.document["components"]["parameters"][name] if name else {}
        return found or parameter

    def visit(self, method: str, template: str, target: str, operation: dict[str, Any]) -> None:
        self.send(method, target.replace("-", PATH))
        self.send(method, f"{target}/{PATH}")
        self.send(method, target, params={NAME: WORD}, headers=HEADERS)
        parameters = [self.resolve(one) for one in operation.get("parameters", ())]
        names = [one["name"] for one in parameters if one["in"] == "query"]
        for name in names:
            for value in (WORD, DATE, PRICE, f"{WORD}@example.com", f"{WORD}\x00"):
                self.send(method, target, params={name: value})
        if "cursor" in names:
            self.walk(target)
        if method in ("POST", "PUT", "PATCH"):
            self.write(method, template, target)
        elif method == "DELETE":
            self.send(method, target, headers=HEADERS)
        self.send(method, target, headers=HEADERS)

    def walk(self, target: str) -> None:
        cursor = self.send("GET", target, params={"limit": 1}).json()["next_cursor"]
        if cursor is not None:
            self.cursors.add(cursor)
            self.send("GET", target, params={"limit": 1, "cursor": cursor})
            self.send("GET", target, params={"sort": "created", "cursor": cursor})
            self.send("GET", target, params={"cursor": f"{cursor}{WORD}"})

    def write(self, method: str, template: str, target: str) -> None:
        if template.endswith(("favorite", "reservation")):
            valid: dict[str, Any] = {"item_id": WORD}
        elif "wishes" in template:
            valid = {"note": WORD}
        else:
            path, _, verb = template.partition("/{")[0].partition(":")
            if verb == "import":
                self.send_files(method, target, VALID[path])
            valid = {"data": [VALID[path]]} if verb else VALID[path]
        for content in bodies(valid):
            for media_type in ("application/json", "text/plain", "application/merge-patch+json"):
                headers = {"Content-Type": media_type}
                self.send(method, target, content=content, headers=headers)
                self.send(method, target, content=content, headers={**headers, **HEADERS})
        form = {name: value for name, value in valid.items() if isinstance(value, str)}
        self.send(method, target, data={**form, NAME: WORD})
        self.send(method, target, files={NAME: (WORD, WORD)}, data=form)

    def send_files(self, method: str, target: str, valid: dict[str, Any]) -> None:
        """Valid rows, rows with wrong values, wrong headers, and broken files."""
        wrong = {**dict.fromkeys(valid, f"{WORD}\x00"), "email": WORD}
        for rows in ([valid], [wrong], [{**valid, NAME: WORD}], [valid, valid]):
            lines = "".join(f"{json.dumps(row)}\n" for row in rows)
            cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
            table = "".join(f"{','.join(line)}\n" for line in cells)
            for media_type, content in (("application/x-ndjson", lines), ("text/csv", table)):
                for broken in (content, content[:-3], f'{content}"{WORD}'):
                    headers = {"Content-Type": media_type}
                    self.send(method, target, content=broken, headers=headers)

    def told(self) -> list[str]:
        """What problems say, but for the path that each repeats."""
        texts = []
        for answer in self.answers:
            if answer.headers.get("content-type") == "application/problem+json":
                problem = {**answer.json(), "instance": None}
                texts.append(json.dumps(problem, ensure_ascii=False))
        return texts


def found_in(text: str, *more: str) -> set[str]:
    """The canaries that occur in a text."""
    return {canary for canary in (*VALUES, *more) if canary in text}
