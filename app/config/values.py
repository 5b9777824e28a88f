"""The types of settings that are more than a number, a flag or a text."""

import ipaddress
import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

_RATE_LIMIT: Final = re.compile(
    r"\s*([1-9][0-9]{0,8})\s*(?:/|per)\s*([1-9][0-9]{0,8})?\s*(second|minute|hour|day)s?\s*",
    re.IGNORECASE,
)
_UNITS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


def parse_rate_limit(text: str) -> tuple[int, int]:
    """The requests and the seconds of a text such as 100/minute. Errors: ValueError."""
    match = _RATE_LIMIT.fullmatch(text)
    if match is None:
        raise ValueError("must be a number of requests per time, such as 100/minute or 20/10second")
    requests, number, unit = match.groups()
    return int(requests), int(number or 1) * _UNITS[unit.lower()]


def _check_rate_limit(text: str) -> str:
    parse_rate_limit(text)
    return text


RateLimitText = Annotated[str, AfterValidator(_check_rate_limit)]


def _check_root_path(path: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", path):
        raise ValueError("must be a path such as /shop, without a slash at its end")
    return path


RootPath = Annotated[str, AfterValidator(_check_root_path)]


def _split(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


# As a browser writes one: no path, no default port, no capital letters.
_ORIGIN: Final = re.compile(r"(?!http://.*:80$|https://.*:443$)https?://[a-z0-9.\-_\[\]:]+")


def _check_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in origins and len(origins) > 1:
        raise ValueError("is either * or a list of origins")
    if not all(origin == "*" or _ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError("must be origins as browsers send them, such as https://app.example.com")
    return origins


def _check_networks(networks: tuple[str, ...]) -> tuple[str, ...]:
    try:
        for network in networks:
            ipaddress.ip_network(network)
    except ValueError:
        raise ValueError("must be addresses or networks, such as 10.0.0.0/8") from None
    return networks


_HOST: Final = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")


def _check_hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    hosts = tuple(host.lower() for host in hosts)
    if not all(map(_HOST.fullmatch, hosts)):
        raise ValueError("must be names of hosts without a port, such as satchel.local")
    return hosts


_Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Origins = Annotated[_Names, AfterValidator(_check_origins)]
Hosts = Annotated[_Names, AfterValidator(_check_hosts)]
Networks = Annotated[_Names, AfterValidator(_check_networks)]

# Those that sign with a private key. With others, whoever can verify could sign.
_JWT_ALGORITHMS: Final = {
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512"),
    "Ed25519",
}


def _check_algorithms(value: str) -> str:
    # EdDSA is the older name, which most issuers use.
    names = ["Ed25519" if name == "EdDSA" else name for name in value.split(",")]
    if not set(names) <= _JWT_ALGORITHMS:
        known = ",".join(sorted(_JWT_ALGORITHMS))
        raise ValueError(f"must be some of {known}, separated by commas")
    return ",".join(names)


Algorithms = Annotated[str, AfterValidator(_check_algorithms)]


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that is bound to this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_jwks_url(value: str) -> str:
    url = urlsplit(value)
    is_safe = url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname or ""))
    if not (url.hostname and is_safe):
        raise ValueError("must be an https:// URL: who can alter the keys can sign tokens")
    if url.username is not None or url.fragment:
        raise ValueError("must hold no user, password or fragment")
    return value


JWKSURL = Annotated[str, AfterValidator(_check_jwks_url)]
