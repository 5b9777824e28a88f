"""What a client sends is not multiplied: neither by the parsers nor in the answer."""

from urllib.parse import quote

import httpx
import pytest

from tests.api.cases import FORM, MULTIPART, PARTS_END, part
from tests.applications import document
from tests.catalog import Entry, every_resource
from tests.responses import assert_problem

MAX_ANSWER = 64 * 1024


def assert_bounded(answer: httpx.Response, count: int) -> None:
    problem = assert_problem(answer, 422, "invalid_request")
    assert len(problem["errors"]) == 100
    assert problem["more_errors"] == count - 100
    assert len(answer.content) <= MAX_ANSWER


@every_resource
class TestAnswers:
    """At most 100 faults, with short names, whatever the request."""

    @pytest.mark.parametrize("filling", ["x", "\x01", "~", "\U0001f600"])
    async def test_of_many_fields(
        self, client: httpx.AsyncClient, entry: Entry, filling: str
    ) -> None:
        names = [f"{number:03}{filling * 200}" for number in range(500)]
        answer = await client.post(entry.path, json=dict.fromkeys(names, 1))
        assert_bounded(answer, len(names) + required(entry))

    async def test_of_many_parameters(self, client: httpx.AsyncClient, entry: Entry) -> None:
        names = [f"{number:05}{quote(chr(1)) * 9}" for number in range(1500)]
        answer = await client.get(f"{entry.path}?{'&'.join(names)}")
        assert_bounded(answer, 301)
        assert answer.json()["errors"][0]["detail"] == "The query has more than 300 parameters."

    async def test_of_forms_and_queries_together(
        self, client: httpx.AsyncClient, entry: Entry
    ) -> None:
        names = [f"{number:02}{'x' * 5000}" for number in range(100)]
        query = "&".join(str(number) for number in range(300))
        bodies = {
            FORM: "&".join(names).encode(),
            MULTIPART: b"".join(part(name[:3000], b"") for name in names) + PARTS_END,
        }
        for media_type, body in bodies.items():
            headers = {"Content-Type": media_type}
            answer = await client.post(f"{entry.path}?{query}", content=body, headers=headers)
            assert_bounded(answer, 400 + required(entry))


def required(entry: Entry) -> int:
    """How many fields a new row needs."""
    return len(document()["components"]["schemas"][f"{entry.title}Create"]["required"])
