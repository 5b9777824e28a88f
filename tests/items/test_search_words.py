"""Search words: what is one word however it is written, and what is found in which script."""

import asyncio
import random
import re
import secrets
import sys
from collections.abc import Iterator
from typing import Literal
from unicodedata import category, normalize

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import ARRAY, URL, Text, bindparam, cast, func, select, text
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from app.items.search_words import query, words
from app.items.service import ITEMS
from app.postgres.migrations import migrate
from tests.applications import client_of, running_app
from tests.catalog import insert_items
from tests.databases import execute
from tests.factories import create_account, create_item
from tests.pages import found

ASSIGNED = [c for c in map(chr, range(1, sys.maxunicode + 1)) if category(c) not in ("Cn", "Cs")]
SEPARATING = [c for c in ASSIGNED if category(c)[0] in "PS"]
# Han and Hangul come in tens of thousands that are all alike.
ALIKE = re.compile("[\u3500-\u9f00\uad00-\ud700\U00020010-\U0003ffff]")
LETTERS = [c for c in ASSIGNED if category(c)[0] in "LMN" and not ALIKE.match(c)]

FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")

# What is stored, and what finds it.
MEETING = [
    ("Lamp™", "lamp"),
    ("lamp", "LAMP™ ®"),
    ("\uff0clamp،", "lamp"),
    ("।lamp€\u00d7", "lamp"),
    ("lamp🫨", "lamp"),  # of Unicode 15
    ("❤️lamp", "lamp ❤"),
    ("1️⃣ lamp", "1"),
    ("Lamp\u00b4s", "s"),
    ("Straße", "STRASSE"),
    ("STRASSE", "straße"),
    ("ΟΔΟΣ", "οδος"),
    ("İSTANBUL", "istanbul"),
    ("istanbul", "İstanbul"),
    ("ISPARTA", "\u0131sparta"),
    (normalize("NFC", "ÉTÉ"), normalize("NFD", "été")),
    (normalize("NFD", "Köln"), normalize("NFC", "KÖLN")),
    ("\uff2c\uff41\uff4d\uff50\uff11", "lamp1"),
    ("ﾗﾝﾌﾟ", "ランプ"),
    ("ﬁne", "FINE"),
    ("soft\u00adhyphen", "softhyphen"),
    ("\u2068lamp\u2069\ufeff", "lamp"),
    ("नमस्ते", "नमस्ते"),
    ("한국어 램프", normalize("NFD", "램프")),
]
UNSPACED = ["東京都の美しいランプ", "โคมไฟทองเหลือง", "ໂຄມໄຟທອງ", "ចង្កៀងលង្ហិន", "ကြေးမီးအိမ်", "𠮷野家"]


def parts(run: str) -> Iterator[str]:
    """All parts of a run that begin with a letter: a mark alone is none."""
    for start in range(len(run)):
        if category(run[start])[0] != "M":
            yield from (run[start:end] for end in range(start + 1, len(run) + 1))


def chunks(chars: list[str]) -> Iterator[list[str]]:
    return (chars[start : start + 200] for start in range(0, len(chars), 200))


class TestOneWord:
    def test_whatever_punctuation_or_symbol_stands_beside_it(self) -> None:
        for chunk in chunks(SEPARATING):
            for written in ("lamp{0}", "{0}Lamp", "{0}{0}LAMP{0}"):
                for make in (words, query):
                    assert make("".join(map(written.format, chunk))) == make("lamp"), ascii(chunk)
            for make in (words, query):
                assert make("".join(f"東京{char}都" for char in chunk)) == make("東京 都東京 都")
                assert make("".join(chunk)) == make(""), ascii(chunk)

    def test_in_each_case_and_normal_form(self) -> None:
        for chunk in chunks(LETTERS):
            written = " ".join(f"{char} lamp{char} 東{char}京" for char in chunk)
            forms = (written.upper(), written.lower(), *(normalize(f, written) for f in FORMS))
            assert {words(form) for form in forms} == {words(written)}, ascii(chunk)

    @given(st.text(max_size=60))
    def test_of_any_text(self, written: str) -> None:
        asked = query(written)
        for form in FORMS:
            assert words(normalize(form, written)) == words(written)
            assert query(normalize(form, written)) == asked
        assert query(written.casefold()) == asked
        assert query(f"!{written} \u200b€") == asked

    @given(st.text(max_size=30), st.text(alphabet="aé\uff71あ漢の.ไม้\u0301ßİ", max_size=30))
    def test_needs_no_more_than_quotes(self, written: str, more: str) -> None:
        made = words(written + more).split(" ") if words(written + more) else []
        for lexeme in made:
            assert re.fullmatch(r"'([^\s'\\]+)'(:[0-9,]+)?", lexeme)


class TestFound:
    async def test_however_it_is_written(
        self, client: httpx.AsyncClient, connection: AsyncConnection
    ) -> None:
        owner = (await create_account(client))["id"]
        for name, words_ in MEETING:
            await create_item(client, owner, name=name)
            assert name in await found(client, "/items", "name", q=words_, limit=200), words_

    async def test_beside_every_punctuation_and_symbol(self, client: httpx.AsyncClient) -> None:
        owner = (await create_account(client))["id"]
        every = set()
        for chunk in chunks(SEPARATING):
            description = "".join(f"lamp{char}brass{char}" for char in chunk)
            every.add((await create_item(client, owner, description=description))["id"])
        for chunk in chunks(SEPARATING):
            words_ = "".join(f"lamp{char}" for char in chunk)
            assert await found(client, "/items", "id", q=words_, limit=200) == every
        assert await found(client, "/items", "id", q="brass lamp", limit=200) == every

    @pytest.mark.parametrize("run", UNSPACED)
    async def test_by_any_part_in_scripts_without_spaces(
        self, client: httpx.AsyncClient, run: str
    ) -> None:
        owner = (await create_account(client))["id"]
        name = f"Lamp {run}2026"
        await create_item(client, owner, name=name)
        await create_item(client, owner, name=run[::2], description=run[1::2])
        for part in parts(normalize("NFKC", run)):
            assert name in await found(client, "/items", "name", q=part), part
        assert name in await found(client, "/items", "name", q=f"{run[2:]} LAMP {run[:2]}")
        # Not what only has its characters, or its pairs of neighbours.
        assert await found(client, "/items", "name", q=run) == {name}
        assert name not in await found(client, "/items", "name", q=run[0] + run[2:])
        assert name not in await found(client, "/items", "name", q="lam")

    async def test_pairs_must_follow_each_other(self, client: httpx.AsyncClient) -> None:
        owner = (await create_account(client))["id"]
        await create_item(client, owner, name="東京 京都", description="東京と京都")
        assert await found(client, "/items", "name", q="東京 京都") == {"東京 京都"}
        assert await found(client, "/items", "name", q="東京都") == set()

    async def test_after_any_write(self, client: httpx.AsyncClient, statements: list[str]) -> None:
        item = await create_item(client, name="Brass lamp", description="tall")
        path = f"/items/{item['id']}"

        async def is_found(**by: bool) -> None:
            for words_, expected in by.items():
                ids = await found(client, "/items", "id", q=words_.replace("_", " "))
                assert ids == ({item["id"]} if expected else set()), words_

        await is_found(brass_tall=True, oak=False)
        statements.clear()
        await client.patch(path, json={"name": "Oak desk"})
        assert len(statements) == 1
        await is_found(oak_tall=True, brass=False, lamp=False)
        await client.patch(path, json={"description": "WIDE"})
        await is_found(oak_wide=True, tall=False)
        await client.patch(path, json={"price": "1.00"})
        await is_found(oak_wide=True)
        await client.patch(path, json={"description": None})
        await is_found(oak=True, wide=False)
        await client.put(path, json={**item, "name": "Vase", "description": "Ming", "version": 5})
        await is_found(vase_ming=True, oak=False)


RANDOM = random.Random(11)
HAN = "".join(map(chr, range(0x4E00, 0x4E00 + 10_000)))
LONGEST = {
    "one word": ("x" * 10_000, "x" * 1000),
    "a word of four bytes a character": ("\U00010400" * 10_000, "\U00010428" * 1000),
    "words that normalization makes long": ("\ufdfa" * 10_000, "\ufdfa" * 1000),
    "all different": (HAN, HAN[-1000:]),
    "of four bytes, all different": (
        "".join(map(chr, range(0x20000, 0x20000 + 10_000))),
        "".join(map(chr, range(0x20000 + 9000, 0x20000 + 10_000))),
    ),
    "a pair more often than PostgreSQL keeps its places": ("東京都" * 3330 + "京橋", "都京橋"),
    "more places than PostgreSQL keeps": ("\u0e33" * 9990 + "ลำดับ", "ลำดับ"),
    "marks": ("a" + "\u0301\u0323" * 4999, "a" + "\u0301\u0323" * 400),
    "random": (
        "".join(RANDOM.choices([c for c in ASSIGNED if c.isprintable()], k=9990)) + " lamp",
        "lamp",
    ),
}


class TestLimits:
    @pytest.mark.parametrize("name", LONGEST)
    async def test_the_longest_texts(self, client: httpx.AsyncClient, name: str) -> None:
        description, words_ = LONGEST[name]
        item = await create_item(client, description=description)
        assert await found(client, "/items", "id", q=words_) == {item["id"]}
        assert await found(client, "/items", "id", q=f"{words_[:900]} nowhere") == set()

    async def test_any_text_is_found_by_itself(self, connection: AsyncConnection) -> None:
        chars = ["".join(RANDOM.choices(LETTERS, k=300)) + " .\u200b" + "".join(UNSPACED)] * 10
        texts = ["".join(RANDOM.choices(some, k=40)) for some in chars for _ in range(100)]
        texts = [one for one in texts if query(one) != query("")]
        arrays = (bindparam("words", type_=ARRAY(TSVECTOR)), bindparam("asked", type_=ARRAY(Text)))
        pairs = func.unnest(*arrays).table_valued("words", "asked").render_derived()
        holds = pairs.c.words.bool_op("@@")(cast(pairs.c.asked, TSQUERY))
        result = await connection.execute(
            select(holds), {"words": [*map(words, texts)], "asked": [*map(query, texts)]}
        )
        assert [one for one, holds in zip(texts, result.scalars(), strict=True) if not holds] == []


@pytest.mark.parametrize("asked", ["lamp", "brass lamp", "東", "東京", "東京都", "!"])
async def test_the_index_serves(connection: AsyncConnection, asked: str) -> None:
    await insert_items(connection, [{"name": "Brass lamp 東京都"}])
    condition = (
        ITEMS.filters["q"]
        .condition("q")
        .compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
    )
    await connection.execute(text("SET LOCAL enable_seqscan = off"))
    explain = f"EXPLAIN SELECT id FROM items WHERE {condition}"
    plan = await connection.exec_driver_sql(explain, (query(asked),))
    assert "ix_items_words" in "\n".join(plan.scalars())


LOCALES = {
    "C": "LOCALE 'C'",
    "libc": "LOCALE 'C.UTF-8'",
    "builtin": "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'",
    "icu": "LOCALE_PROVIDER icu ICU_LOCALE 'tr' LOCALE 'C'",
}


async def test_no_locale_of_the_database_matters(database_server: URL) -> None:
    tried = set()
    for locale, options in LOCALES.items():
        name = f"satchel_locale_{secrets.token_hex(6)}"
        create = f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {options}"
        try:
            await execute(database_server, create)
        except DBAPIError:  # not every PostgreSQL has each
            continue
        tried.add(locale)
        try:
            await find_in(database_server.set(database=name))
        finally:
            await execute(database_server, f"DROP DATABASE {name} WITH (FORCE)")
    assert len(tried) >= 2
    assert "C" in tried


async def find_in(database: URL) -> None:
    """What was created at once, in an empty database."""
    engine = create_async_engine(database, poolclass=NullPool)
    await migrate(engine)
    async with running_app(database) as application, client_of(application) as client:
        owner = (await create_account(client))["id"]
        await asyncio.gather(*(create_item(client, owner, name=name) for name, _ in MEETING))
        for name, asked in MEETING:
            assert name in await found(client, "/items", "name", q=asked), asked
