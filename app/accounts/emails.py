"""Emails: the field, their normal form, their unique key, and whether their domain accepts mail."""

import asyncio
import ipaddress
import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Annotated, Any, Final, Protocol

from email_validator import EmailNotValidError, validate_email
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES
from pydantic import BeforeValidator, WithJsonSchema

from app.errors import Fault, InvalidRequest
from app.resources.batches import at_row
from app.resources.fields import fault

MAX_LENGTH = 254
# White space, and characters without width that are copied together with an address.
_BLANKS: Final = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
    "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u2060\u2066\u2067\u2068\u2069\ufeff"
)


# The local parts that email-validator takes as they are (RFC 5322, 3.2.3).
_USUAL_LOCAL_PART: Final = re.compile(
    r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII
)
_LONGEST_LOCAL_PART: Final = 64
_UNDELIVERABLE: Final = Fault(
    pointer="/email", code="invalid_format", detail="The domain of this email does not take mail."
)
# Of a batch.
_QUERIES_AT_ONCE: Final = 50
# It writes them in lower case (RFC 2142).
_LOWERED: Final = frozenset(CASE_INSENSITIVE_MAILBOX_NAMES)


class Resolver(Protocol):
    """What is used of dnspython's resolver. Only some settings need that library, and its import
    takes time.
    """

    lifetime: float

    async def resolve(self, domain: str, kind: str, /) -> Any: ...


def normalize(text: str) -> str | None:
    """The address as email-validator normalizes it, without blanks at its ends; None if it is not
    valid.
    """
    address = text.strip(_BLANKS)
    local, _, domain = address.rpartition("@")
    if (
        len(address) <= MAX_LENGTH
        and len(local) <= _LONGEST_LOCAL_PART
        and _USUAL_LOCAL_PART.fullmatch(local)
        and local.lower() not in _LOWERED
        and (normal_domain := _usual_domain(domain)) is not None
    ):
        return f"{local}@{normal_domain}"
    return _validated(address)


# Most addresses are of a few domains, and the domain is nearly all of the work.
@lru_cache(maxsize=4096)
def _usual_domain(domain: str) -> str | None:
    """The normal form of an ASCII domain; None for any other, and for what is none."""
    normal = _validated(f"x@{domain}") if domain.isascii() else None
    return normal[2:] if normal is not None and normal.isascii() else None


def _validated(address: str) -> str | None:
    try:
        found = validate_email(address, check_deliverability=False, strict=True)
    except EmailNotValidError:
        return None
    return found.normalized if len(found.normalized) <= MAX_LENGTH else None


def unique_key(email: str) -> str:
    """Equal for two normal emails if their local parts differ in case only and their domains are
    the same. A normal domain has the form in which IDNA 2008 compares it: it keeps apart letters
    that case folding would make one, such as ß and ss.

    The database could not make the key, since lower() under collation C only changes ASCII letters.
    """
    local, at, domain = email.rpartition("@")
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", local).casefold())
    return f"{folded}{at}{domain}"


def search_key(text: str) -> str:
    """The key that an email of this text would have."""
    return unique_key(normalize(text) or text)


def make_resolver(timeout: float) -> Resolver | None:
    """A DNS resolver with a cache; None on a machine without DNS."""
    from dns import asyncresolver
    from dns.resolver import LRUCache, NoResolverConfiguration

    try:
        resolver = asyncresolver.Resolver()
    except NoResolverConfiguration:
        return None
    resolver.cache = LRUCache()
    resolver.lifetime = timeout
    return resolver


async def require_deliverable(email: str, resolver: Resolver | None) -> None:
    """Refuse an email whose domain does not accept mail, according to the DNS.

    If the DNS is slow, broken or unavailable, or without a resolver, the email is accepted.
    Errors: InvalidRequest.
    """
    if resolver is not None and not await _is_deliverable(email, resolver):
        raise InvalidRequest(errors=[_UNDELIVERABLE])


async def require_all_deliverable(given: Sequence[str | None], resolver: Resolver) -> None:
    """Refuse the emails of a batch, by the rows that have one, likewise.

    They share the time for one email, and domains are asked about once. Errors: InvalidRequest.
    """
    of_domain = {email.rpartition("@")[2]: email for email in given if email is not None}
    gate = asyncio.Semaphore(_QUERIES_AT_ONCE)
    refused: set[str] = set()

    async def ask(domain: str, email: str) -> None:
        async with gate:
            if not await _is_deliverable(email, resolver):
                refused.add(domain)

    with suppress(TimeoutError):
        async with asyncio.timeout(resolver.lifetime), asyncio.TaskGroup() as asking:
            for domain, email in of_domain.items():
                asking.create_task(ask(domain, email))
    faults = [
        at_row(row, _UNDELIVERABLE)
        for row, email in enumerate(given)
        if email is not None and email.rpartition("@")[2] in refused
    ]
    if faults:
        raise InvalidRequest(errors=faults)


async def _is_deliverable(email: str, resolver: Resolver) -> bool:
    from dns.exception import DNSException
    from dns.resolver import NXDOMAIN

    domain = validate_email(email, check_deliverability=False).ascii_domain
    try:
        # The resolver limits each query. This limits all of them together.
        async with asyncio.timeout(resolver.lifetime):
            return await _takes_mail(domain, resolver)
    except NXDOMAIN:
        return False
    except (DNSException, OSError):  # TimeoutError too
        return True


async def _takes_mail(domain: str, resolver: Resolver) -> bool:
    """Whether the DNS has an MX that is not the null MX (RFC 7505) or, without any MX, an address
    that can be reached (RFC 5321, 5.1).

    email-validator could query the DNS itself, but it blocks a thread, and counts many failed
    queries as a domain without mail.
    """
    from dns import name
    from dns.resolver import NoAnswer

    try:
        return any(record.exchange != name.root for record in await resolver.resolve(domain, "MX"))
    except NoAnswer:
        pass
    for kind in ("A", "AAAA"):
        try:
            records = await resolver.resolve(domain, kind)
        except NoAnswer:
            continue
        if any(ipaddress.ip_address(record.address).is_global for record in records):
            return True
    return False


def _check_email(value: Any) -> Any:
    if not isinstance(value, str):
        raise fault("wrong_type", "Must be text.")
    if len(value.strip(_BLANKS)) > MAX_LENGTH:
        raise fault("too_long", "Must have at most 254 characters.")
    normal = normalize(value)
    if normal is None:
        raise fault("invalid_format", "Must be a valid email address.")
    return normal


Email = Annotated[
    str,
    BeforeValidator(_check_email),
    WithJsonSchema(
        {
            "type": "string",
            # Without `format: email`, by which validators refuse letters beyond ASCII.
            "pattern": r"^[^\x00@]+@[^\x00@]+$",
            "minLength": 3,
            "maxLength": 254,
            "examples": ["ada@example.com"],
        }
    ),
]
