"""Emails: their normal form, the key they are unique by, and whether their domain takes mail."""

import asyncio
import ipaddress
import unicodedata

from dns import name
from dns.asyncresolver import Resolver
from dns.exception import DNSException
from dns.resolver import NXDOMAIN, LRUCache, NoAnswer, NoResolverConfiguration
from email_validator import EmailNotValidError, validate_email

from app.errors import Fault, InvalidRequest

MAX_LENGTH = 254


def normalize(text: str) -> str | None:
    """The address as email-validator normalizes it; None where it is not valid."""
    try:
        address = validate_email(text, check_deliverability=False, strict=True).normalized
    except EmailNotValidError:
        return None
    return address if len(address) <= MAX_LENGTH else None


def unique_key(email: str) -> str:
    """What two emails share that differ in case only. Made here and not by the database, whose
    lower() under collation C knows ASCII alone.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", email).casefold())


def search_key(text: str) -> str:
    """The key that an email of this text would have."""
    return unique_key(normalize(text) or text)


def make_resolver(timeout: float) -> Resolver | None:
    """A DNS resolver that remembers answers; None on a machine without DNS."""
    try:
        resolver = Resolver()
    except NoResolverConfiguration:
        return None
    resolver.cache = LRUCache()
    resolver.lifetime = timeout
    return resolver


async def require_deliverable(email: str, resolver: Resolver | None) -> None:
    """Refuse an email whose domain says that it takes no mail.

    A DNS that is slow, broken or away says nothing, so the email passes. Without a resolver nothing
    is asked. Errors: InvalidRequest.
    """
    if resolver is None:
        return
    domain = validate_email(email, check_deliverability=False).ascii_domain
    try:
        # The resolver limits each question; together they may take no longer.
        async with asyncio.timeout(resolver.lifetime):
            deliverable = await _takes_mail(domain, resolver)
    except NXDOMAIN:
        deliverable = False
    except (DNSException, OSError):  # TimeoutError too
        deliverable = True
    if not deliverable:
        detail = "The domain of this email does not take mail."
        raise InvalidRequest(errors=[Fault(pointer="/email", code="invalid_format", detail=detail)])


async def _takes_mail(domain: str, resolver: Resolver) -> bool:
    """What the DNS says: an MX that is not the null one (RFC 7505) or, without any, an address
    that can be reached (RFC 5321, 5.1).

    Asked here and not by email-validator, which waits in a thread and takes many a failure to ask
    for a no.
    """
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
