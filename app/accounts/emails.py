"""Emails: their normal form, the key they are unique by, and whether their domain takes mail."""

import asyncio
import unicodedata

from dns.exception import DNSException
from dns.resolver import NXDOMAIN, LRUCache, NoAnswer, NoResolverConfiguration, Resolver
from email_validator import (
    EmailNotValidError,
    EmailUndeliverableError,
    validate_email,
)

from app.errors import Fault, InvalidRequest

MAX_LENGTH = 254


def normalize(text: str) -> str | None:
    """The address as email-validator normalizes it; None where it is not valid."""
    try:
        address = validate_email(text, check_deliverability=False).normalized
    except EmailNotValidError:
        return None
    return address if len(address) <= MAX_LENGTH else None


def unique_key(email: str) -> str:
    """What two emails share that differ in case only. Made here and not by the database, whose
    lower() under collation C knows ASCII alone.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", email).casefold())


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
    if resolver is not None and await asyncio.to_thread(_is_undeliverable, email, resolver):
        detail = "The domain of this email does not take mail."
        raise InvalidRequest(errors=[Fault(pointer="/email", code="invalid_format", detail=detail)])


def _is_undeliverable(email: str, resolver: Resolver) -> bool:
    try:
        validate_email(email, dns_resolver=resolver)
    except EmailUndeliverableError as error:
        # email-validator says the same of a domain without mail and of a failure to ask; only
        # the cause tells them apart.
        return error.__cause__ is None or isinstance(error.__cause__, (NXDOMAIN, NoAnswer))
    except DNSException:
        return False
    return False
