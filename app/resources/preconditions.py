"""What must hold for a row that is written: the versions that a client has seen."""

from dataclasses import dataclass
from typing import Self

from app.errors import PreconditionRequired, StaleVersion


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must hold for a row that is written.

    versions: the versions that it may have; None: any.
    missing: the settings require a condition and the request has none.
    """

    versions: frozenset[int] | None = None
    missing: bool = False

    def narrowed_to(self, version: int) -> Self:
        versions = frozenset({version})
        return type(self)(versions if self.versions is None else self.versions & versions)

    def require(self, version: int) -> None:
        """Errors: PreconditionRequired, StaleVersion."""
        if self.missing:
            raise PreconditionRequired
        if self.versions is not None and version not in self.versions:
            raise StaleVersion(version)
