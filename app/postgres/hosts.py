"""Connects to one of the hosts of a URL.

The driver tries them in their order and within one time limit, which a host that does not answer
uses up alone. Here each has a limit of its own. The last good one is tried first, and one that did
not answer last.
"""

from typing import Any, Final

import asyncpg

from app.postgres.commits import Connection
from app.postgres.failures import FAILURES
from app.postgres.loop_timeout import loop_timeout

# A host and its port, as the driver takes them.
Address = tuple[Any, Any]

# The hosts of each URL, for each wanted one, in the order in which they are tried. All engines
# of a process share it.
_orders: Final[dict[tuple[tuple[Address, ...], Any], list[Address]]] = {}


async def connect(seconds: float, options: dict[str, Any]) -> Connection:
    """Connect with these options of the driver, for so many seconds per host.

    A `connection_class` among them must be one of `Connection`.
    Errors: that of one of the hosts if none can be used; TimeoutError if one did not answer.
    """
    hosts, ports = options.get("host"), options.get("port")
    if not isinstance(hosts, list):
        return await _connect_to((hosts, ports), seconds, options)
    addresses = tuple(zip(hosts, ports or (), strict=True))
    wanted = options.get("target_session_attrs")
    order = _orders.setdefault((addresses, wanted), [*addresses])
    failures: list[Exception] = []
    # Any host will do if there is no standby, but only then.
    for each in ("standby", "any") if wanted == "prefer-standby" else (wanted,):
        for address in tuple(order):
            try:
                given = {**options, "target_session_attrs": each}
                connection = await _connect_to(address, seconds, given)
            except FAILURES as error:
                failures.append(error)
                if isinstance(error, TimeoutError):
                    try_last(address)
            else:
                order.remove(address)
                order.insert(0, address)
                return connection
    raise max(failures, key=_weight)


def try_last(address: Address) -> None:
    """From now on, try this host after the others of its URL."""
    for order in _orders.values():
        if address in order:
            order.remove(address)
            order.append(address)


async def _connect_to(address: Address, seconds: float, options: dict[str, Any]) -> Connection:
    host, port = address
    given: dict[str, Any] = {"connection_class": Connection, **options, "host": host, "port": port}
    async with loop_timeout(seconds):
        connection: Connection = await asyncpg.connect(**given)
    connection.address = address
    return connection


def _weight(error: Exception) -> int:
    """How much an error tells of why no host can be used."""
    if isinstance(error, TimeoutError):
        return 2
    return 0 if isinstance(error, asyncpg.TargetServerAttributeNotMatched) else 1
