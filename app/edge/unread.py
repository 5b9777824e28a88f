"""What clients have not read yet of their responses, in all connections of a worker."""

import asyncio
from typing import Final

MAX_UNREAD: Final = 64 * 1024 * 1024


class UnreadResponses:
    """The connections whose buffers are full, the longest first."""

    def __init__(self) -> None:
        self.limit = MAX_UNREAD
        self._full: dict[asyncio.Transport, None] = {}

    def add(self, transport: asyncio.Transport) -> None:
        """Count a connection, and abort the oldest ones while there is too much."""
        self._full[transport] = None
        unread = sum(each.get_write_buffer_size() for each in self._full)
        while unread > self.limit:
            oldest = next(iter(self._full))
            unread -= oldest.get_write_buffer_size()
            del self._full[oldest]
            oldest.abort()

    def remove(self, transport: asyncio.Transport) -> None:
        self._full.pop(transport, None)
