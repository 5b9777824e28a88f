"""Emails: normal form, what makes two of them one, and deliverability asked of a real DNS."""

import asyncio
import functools
import itertools
import random
import sys
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import httpx
import pytest
import uvloop
from dns import asyncresolver
from dns.asyncresolver import Resolver
from dns.resolver import NoAnswer
from email_validator import EmailNotValidError, validate_email
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES
from fastapi import FastAPI

from app.accounts import emails
from app.errors import InvalidRequest
from tests.factories import account_body, create_account
from tests.waiting import PATIENCE, until

# All white space, and what is copied with an address from web pages and address books.
BLANKS = [
    *(char for char in map(chr, range(sys.maxunicode + 1)) if char.isspace()),
    *("\u200b", "\u200e", "\u200f", "\u202a", "\u202c", "\u2060", "\u2068", "\u2069", "\ufeff"),
]
TIMEOUT = 0.2  # for an answer that does not come

# The zone of the server: name and type of what it has, in the order of asking.
ZONE = {
    ("mx.example.com.", "MX"): ["10 mail.mx.example.com."],
    ("many.example.com.", "MX"): ["0 .", "20 mail.example.com."],
    ("null.example.com.", "MX"): ["0 ."],
    ("null.example.com.", "A"): ["93.184.216.34"],
    ("a.example.com.", "A"): ["10.0.0.1", "93.184.216.34"],
    ("aaaa.example.com.", "AAAA"): ["2606:2800:220:1::1"],
    ("private.example.com.", "A"): ["10.0.0.1"],
    ("private.example.com.", "AAAA"): ["fe80::1"],
    ("xn--strae-oqa.example.com.", "MX"): ["10 mail.example.com."],
    ("half.example.com.", "A"): [],
}
# Names that exist and have nothing, and names whose questions go wrong.
EMPTY = {"empty.example.com."}
FAILING = {"servfail.example.com.": dns.rcode.SERVFAIL, "refused.example.com.": dns.rcode.REFUSED}
SILENT = {("silent.example.com.", "MX"), ("half.example.com.", "A")}


class NameServer(asyncio.DatagramProtocol):
    """A DNS server of one zone, on a loopback port of its own."""

    def __init__(self) -> None:
        self.questions: list[tuple[str, str]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)
        self.port: int = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text()
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        self.questions.append((name, kind))
        if name == "garbage.example.com.":
            self.transport.sendto(data[:2] + b"garbage", addr)
        elif (name, kind) not in SILENT:
            self.transport.sendto(self._answer(query, name, kind).to_wire(), addr)

    def _answer(self, query: dns.message.Message, name: str, kind: str) -> dns.message.Message:
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if name == "truncated.example.com.":
            answer.flags |= dns.flags.TC  # asks for TCP, where nobody listens
        elif name in FAILING:
            answer.set_rcode(FAILING[name])
        elif records := ZONE.get((name, kind)):
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *records))
        else:
            known = name in EMPTY | {known for known, _ in ZONE}
            answer.set_rcode(dns.rcode.NOERROR if known else dns.rcode.NXDOMAIN)
            soa = "ns.example.com. admin.example.com. 1 60 60 60 60"
            answer.authority.append(dns.rrset.from_text("example.com.", 60, "IN", "SOA", soa))
        return answer


async def start_name_server() -> NameServer:
    loop = asyncio.get_running_loop()
    _, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    return server


def make_resolver(port: int, conf: Path, timeout: float = PATIENCE) -> Resolver:
    """A resolver as the application makes it, with another configuration file and port."""
    conf.write_text("nameserver 127.0.0.1\n")
    with pytest.MonkeyPatch.context() as patch:
        own = functools.partial(Resolver, filename=str(conf))
        patch.setattr(asyncresolver, "Resolver", own)
        resolver = emails.make_resolver(timeout)
    assert isinstance(resolver, Resolver)
    resolver.port = port
    return resolver


@pytest.fixture
async def name_server() -> AsyncIterator[NameServer]:
    server = await start_name_server()
    yield server
    server.transport.close()


@pytest.fixture
def resolver(name_server: NameServer, tmp_path: Path) -> Resolver:
    return make_resolver(name_server.port, tmp_path / "resolv.conf")


@pytest.fixture
def hasty(name_server: NameServer, tmp_path: Path) -> Resolver:
    """A resolver that soon gives up."""
    return make_resolver(name_server.port, tmp_path / "resolv.conf", TIMEOUT)


class TestNormalize:
    @pytest.mark.parametrize(
        ("text", "normal"),
        [
            ("Ada@example.com", "Ada@example.com"),
            ("Ada@EXAMPLE.Com", "Ada@example.com"),
            ("ada+tag@example.com", "ada+tag@example.com"),
            ("jose\u0301@example.com", "josé@example.com"),
            *((f"{blank}ada@example.com{blank}\n", "ada@example.com") for blank in BLANKS),
            ("ada@BÜCHER.example.com", "ada@bücher.example.com"),
            ("ada@xn--bcher-kva.example.com", "ada@bücher.example.com"),
        ],
    )
    def test_keeps_the_name_and_lowers_the_domain(self, text: str, normal: str) -> None:
        assert emails.normalize(text) == normal
        assert emails.normalize(normal) == normal

    @pytest.mark.parametrize(
        "text",
        [
            *("", "ada", "@example.com", "ada@", "ada@example", "a@b@example.com"),
            *(" ", "\u200b", "ada @example.com", "ada@ example.com", "ada@exam ple.com"),
            *(".ada@example.com", "ada.@example.com", "a..da@example.com", "ada@-example.com"),
            *('"ada"@example.com', "Ada <ada@example.com>", "ada@[127.0.0.1]", "ada@localhost"),
            *("ada@" + "a" * 64 + ".com", "ada@example.com\u0000"),
        ],
    )
    def test_none_for_what_is_no_address(self, text: str) -> None:
        assert emails.normalize(text) is None

    def test_at_most_254_characters(self) -> None:
        long = "a" * 58 + "@" + ".".join(["d" * 63, "d" * 63, "d" * 63, "com"])
        assert len(long) == 254
        assert emails.normalize(long) == long
        assert emails.normalize("a" + long) is None

    @pytest.mark.slow
    def test_agrees_with_the_library_on_addresses_of_every_kind(self) -> None:
        chance = random.Random(1)
        names = [
            *"abcXYZ059",
            *"._-+'=#{",
            *"ab.",
            "é",
            "e\u0301",
            "ß",
            '"',
            "@",
            " ",
            "<",
            "(",
            "\u202e",
        ]
        usual = [f"mail{number}.example.com" for number in range(50)]
        labels = [
            "a",
            "B9",
            "xn--bcher-kva",
            "bücher",
            "-",
            "x-",
            "test",
            "com",
            "CO",
            "1",
            "",
            "a_b",
        ]
        accepted = 0
        for _ in range(100_000):
            length = chance.choice((1, 2, 3, 5, 8, 63, 64, 65, 250))
            name = "".join(
                chance.choices(names, weights=[9] * 9 + [2] * 8 + [9, 9, 2] + [1] * 9, k=length)
            )
            if chance.random() < 0.05:
                name = chance.choice(CASE_INSENSITIVE_MAILBOX_NAMES).title()
            domain = (
                chance.choice(usual)
                if chance.random() < 0.5
                else ".".join(chance.choices(labels, k=chance.choice((1, 2, 3, 4))))
            )
            text = f"{name}@{domain}".strip("".join(BLANKS))
            try:
                found = validate_email(text, check_deliverability=False, strict=True).normalized
            except EmailNotValidError:
                found = None
            assert emails.normalize(text) == found, text
            accepted += found is not None
        assert 10_000 < accepted < 90_000

    def test_remembers_no_more_than_so_many_domains(self) -> None:
        for number in range(5000):
            assert emails.normalize(f"ada@d{number}.example.com") == f"ada@d{number}.example.com"
        assert emails._usual_domain.cache_info().currsize == 4096


class TestUniqueKey:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("ada@example.com", "ADA@EXAMPLE.COM"),
            ("straße@example.com", "STRASSE@example.com"),
            ("ΣΊΣΥΦΟΣ@example.com", "σίσυφος@example.com"),
            ("ÉCOLE@example.com", "e\u0301cole@example.com"),
            ("\u01c4@example.com", "\u01c6@example.com"),  # a digraph
            ("İ@example.com", "i\u0307@example.com"),  # Turkish capital i, and its small letter
            ("\u0390@example.com", "\u1fd3@example.com"),  # two characters for one letter
            ("straße@faß.example", "STRASSE@FAß.EXAMPLE"),
            ("ada@faß.example", "ada@xn--fa-hia.example"),
            ("ada@bücher.example", "ada@BU\u0308CHER.example"),
            ("ada@example.com", "ada@\uff25\uff38\uff21\uff2d\uff30\uff2c\uff25\u3002com"),
        ],
    )
    def test_one_for_emails_that_differ_in_case_only(self, one: str, other: str) -> None:
        assert emails.search_key(one) == emails.search_key(other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("ada@example.com", "ada@example.org"),
            ("ada@example.com", "ada+tag@example.com"),
            ("I@example.com", "\u0131@example.com"),  # Turkish dotless i is a letter of its own
            ("i@example.com", "İ@example.com"),
            ("e@example.com", "é@example.com"),
            ("ada@faß.example", "ada@fass.example"),  # IDNA 2008 tells them apart
            ("ada@βόλος.example", "ada@βόλοσ.example"),
            ("ada@xn--fa-hia.example", "ada@fass.example"),
        ],
    )
    def test_two_for_emails_that_differ_in_letters(self, one: str, other: str) -> None:
        assert emails.search_key(one) != emails.search_key(other)

    def test_is_its_own_key_for_every_character(self) -> None:
        """A key of a key is that key, also in Unicode's corners: nothing is folded halfway."""
        for code in itertools.chain(range(0x20, 0xD800), range(0xE000, 0x20000)):
            key = emails.unique_key(f"{chr(code)}@example.com")
            assert emails.unique_key(key) == key, hex(code)
            assert unicodedata.is_normalized("NFC", key), hex(code)


class TestSearchKey:
    def test_finds_an_email_however_it_is_written(self) -> None:
        key = emails.unique_key("straße@bücher.example.com")
        assert emails.search_key("STRASSE@xn--bcher-kva.EXAMPLE.com") == key
        assert emails.search_key("no address") == "no address"


class TestRequireDeliverable:
    @pytest.mark.parametrize("domain", ["mx", "many", "a", "aaaa", "straße"])
    async def test_passes_a_domain_that_takes_mail(self, domain: str, resolver: Resolver) -> None:
        await emails.require_deliverable(f"ada@{domain}.example.com", resolver)

    @pytest.mark.parametrize("domain", ["nowhere", "null", "empty", "private"])
    async def test_refuses_a_domain_that_takes_none(self, domain: str, resolver: Resolver) -> None:
        with pytest.raises(InvalidRequest) as refusal:
            await emails.require_deliverable(f"ada@{domain}.example.com", resolver)
        [fault] = refusal.value.errors
        assert (fault["pointer"], fault["code"]) == ("/email", "invalid_format")

    @pytest.mark.parametrize(
        "domain", ["servfail", "refused", "garbage", "truncated", "silent", "half"]
    )
    async def test_passes_where_the_dns_fails(
        self, domain: str, hasty: Resolver, name_server: NameServer
    ) -> None:
        async with asyncio.timeout(PATIENCE):
            while not name_server.questions:  # its time may be over before it has asked
                await emails.require_deliverable(f"ada@{domain}.example.com", hasty)

    async def test_passes_where_nobody_answers(
        self, hasty: Resolver, name_server: NameServer
    ) -> None:
        name_server.transport.close()  # the port refuses
        async with asyncio.timeout(PATIENCE):
            await emails.require_deliverable("ada@nowhere.example.com", hasty)

    async def test_the_limit_holds_for_all_questions_together(self) -> None:
        class Slow:
            """Has no limit of its own; the answer to its second question never comes."""

            lifetime = TIMEOUT

            def __init__(self) -> None:
                self.asked: list[str] = []

            async def resolve(self, _domain: str, kind: str) -> NoReturn:
                self.asked.append(kind)
                if kind == "A":
                    await asyncio.Event().wait()
                raise NoAnswer

        slow = Slow()
        async with asyncio.timeout(PATIENCE):
            await emails.require_deliverable("ada@example.com", cast(Resolver, slow))
        assert slow.asked == ["MX", "A"]  # the third question was never asked

    async def test_many_wait_at_once_and_block_nobody(
        self, resolver: Resolver, name_server: NameServer
    ) -> None:
        asking = [
            asyncio.create_task(emails.require_deliverable("ada@silent.example.com", resolver))
            for _ in range(50)
        ]
        await until(lambda: len(name_server.questions) >= 50)
        assert not any(task.done() for task in asking)
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)

    async def test_remembers_answers(self, resolver: Resolver, name_server: NameServer) -> None:
        for _ in range(3):
            await emails.require_deliverable("ada@mx.example.com", resolver)
            with pytest.raises(InvalidRequest):
                await emails.require_deliverable("ada@nowhere.example.com", resolver)
        assert len(name_server.questions) == 2

    async def test_asks_nothing_without_a_resolver(self) -> None:
        await emails.require_deliverable("ada@nowhere.example.com", None)

    def test_works_on_the_loop_of_the_server(self, tmp_path: Path) -> None:
        async def ask() -> None:
            server = await start_name_server()
            resolver = make_resolver(server.port, tmp_path / "resolv.conf")
            await emails.require_deliverable("ada@mx.example.com", resolver)
            with pytest.raises(InvalidRequest):
                await emails.require_deliverable("ada@nowhere.example.com", resolver)
            server.transport.close()

        uvloop.run(ask())


class TestMakeResolver:
    @pytest.mark.parametrize("text", [None, "", "# nothing\nsearch example.com\n"])
    def test_none_on_a_machine_without_dns(
        self, text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        conf = tmp_path / "resolv.conf"
        if text is not None:
            conf.write_text(text)
        own = functools.partial(Resolver, filename=str(conf))
        monkeypatch.setattr(asyncresolver, "Resolver", own)
        assert emails.make_resolver(TIMEOUT) is None


class TestRequests:
    """Every request that sets an email asks, and no other."""

    @pytest.fixture(autouse=True)
    def _ask(self, app: FastAPI, resolver: Resolver) -> None:
        app.state.email_resolver = resolver

    async def test_create(self, client: httpx.AsyncClient, app: FastAPI, hasty: Resolver) -> None:
        refused = await client.post("/accounts", json=account_body(email="a@null.example.com"))
        assert refused.status_code == 422
        assert refused.json()["code"] == "invalid_request"
        assert refused.json()["errors"][0]["pointer"] == "/email"
        await create_account(client, email="a@mx.example.com")
        app.state.email_resolver = hasty
        await create_account(client, email="a@silent.example.com")

    async def test_replace_and_change(
        self, client: httpx.AsyncClient, name_server: NameServer
    ) -> None:
        account = await create_account(client, email="a@mx.example.com")
        url = f"/accounts/{account['id']}"
        bad, good = {"email": "a@nowhere.example.com"}, {"email": "b@a.example.com"}
        assert (await client.put(url, json=account_body(**bad))).status_code == 422
        assert (await client.patch(url, json=bad)).status_code == 422
        assert (await client.get(url)).json() == account
        assert (await client.put(url, json=account_body(**good))).status_code == 200
        name_server.questions.clear()
        assert (await client.patch(url, json={"username": "b"})).status_code == 200
        assert name_server.questions == []
