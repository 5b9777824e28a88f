"""The floor: ASGI and asyncpg without a framework, JSON built by PostgreSQL, nothing checked."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import date, datetime
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import asyncpg

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

GET = "SELECT row_to_json(a)::text FROM accounts a WHERE id = $1"
PAGE = """
    SELECT coalesce(json_agg(page), '[]')::text FROM (
        SELECT * FROM accounts WHERE created < $1 ORDER BY created DESC LIMIT $2
    ) page"""
COUNTRY_PAGE = """
    SELECT coalesce(json_agg(page), '[]')::text FROM (
        SELECT * FROM accounts WHERE country = $1 ORDER BY created DESC LIMIT $2
    ) page"""
INSERT = """
    INSERT INTO accounts AS a (id, email, username, dob, country, phone_number)
    VALUES (gen_random_uuid(), $1, $2, $3, $4, $5) RETURNING row_to_json(a)::text"""
UPDATE = """
    UPDATE accounts AS a SET username = $2, updated = now() WHERE id = $1
    RETURNING row_to_json(a)::text"""

pool: "asyncpg.Pool[asyncpg.Record]"


async def _no_reset(_connection: Any) -> None:
    """Nothing here leaves anything behind in a connection."""


async def _open_pool() -> None:
    global pool
    size = int(os.environ["POOL_SIZE"])
    pool = await asyncpg.create_pool(min_size=size, max_size=size, reset=_no_reset)


async def _read_json(receive: Receive) -> Any:
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message.get("more_body"):
            return json.loads(body)


async def _answer(scope: Message, receive: Receive) -> tuple[int, str | None]:
    method, path = scope["method"], scope["path"]
    if path == "/accounts" and method == "POST":
        body = await _read_json(receive)
        dob = date.fromisoformat(body["dob"])
        values = (body["email"], body["username"], dob, body["country"], body["phone_number"])
        return 201, await pool.fetchval(INSERT, *values)
    if path == "/accounts":
        query = {
            name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()
        }
        limit = int(query["limit"])
        if "country" in query:
            return 200, await pool.fetchval(COUNTRY_PAGE, query["country"], limit)
        return 200, await pool.fetchval(PAGE, datetime.fromisoformat(query["before"]), limit)
    account_id = UUID(path.removeprefix("/accounts/"))
    if method == "PATCH":
        body = await _read_json(receive)
        return 200, await pool.fetchval(UPDATE, account_id, body["username"])
    return 200, await pool.fetchval(GET, account_id)


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await _open_pool()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await asyncio.wait_for(pool.close(), 5)
    await send({"type": "lifespan.shutdown.complete"})


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    status, text = await _answer(scope, receive)
    body = (text or "").encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    status = status if text else 404
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
