"""The rows of a batch as the values of their columns, made in parts, with turns for others."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from app.postgres.turns import Turns
from app.resources.resource import Resource

Given = TypeVar("Given")
Values = Mapping[str, Any]
# Characters that a statement writes. More would take long, and much memory.
MAX_TEXT: Final = 2**19


class BatchRows(Generic[Given]):
    """What rows of a batch are made of, as the values of their columns.

    Those of large rows are made only where a statement is to write them: the words of some texts
    have seven times their size.
    """

    def __init__(self, rows: Sequence[Given], make: Callable[[Given], Values]) -> None:
        self._rows = rows
        self._make = make
        self._turns = Turns()
        self._position = 0
        self._part: Sequence[Values] = ()

    async def prepare(self) -> None:
        """Make the first part, before there is a transaction that would hold its connection."""
        self._part = await self._next()

    async def take(self) -> Sequence[Values]:
        """The next rows, as many as have about MAX_TEXT characters; none at the end."""
        part, self._part = self._part, ()
        return part or await self._next()

    async def keys(self, resource: Resource[Any]) -> Sequence[Values]:
        """The id and the unique and referring columns of all rows."""
        names = {"id", *resource.unique, *resource.references}
        found = []
        for position in range(len(self._rows)):
            values, _ = await self._values(position)
            found.append({name: values[name] for name in names & values.keys()})
        return found

    async def _next(self) -> Sequence[Values]:
        part, size = list[Values](), 0
        while self._position < len(self._rows) and size < MAX_TEXT:
            values, text = await self._values(self._position)
            part.append(values)
            size += text
            self._position += 1
        return part

    async def _values(self, position: int) -> tuple[Values, int]:
        """The values of a row, and the number of their characters."""
        await self._turns.give()
        values = self._make(self._rows[position])
        return values, sum(len(value) for value in values.values() if isinstance(value, str))
