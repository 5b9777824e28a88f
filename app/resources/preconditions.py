"""What must hold for a row that is read or written: the versions that a client has seen."""

from dataclasses import dataclass, replace
from typing import Final

from app.errors import PreconditionRequired, StaleVersion


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must hold for a row that is read or written.

    versions: the versions that it may have; None: any.
    excluded: the versions that it must not have; None: any, so that no row satisfies it.
    missing: the settings require `versions` and the request has none.
    """

    versions: frozenset[int] | None = None
    excluded: frozenset[int] | None = frozenset()
    missing: bool = False

    @property
    def is_none(self) -> bool:
        """Whether every row satisfies it."""
        return self.versions is None and self.excluded == frozenset() and not self.missing

    @property
    def can_hold(self) -> bool:
        return self.excluded is not None and not self.missing

    def narrowed_to(self, version: int) -> "Precondition":
        versions = frozenset({version})
        if self.versions is not None:
            versions &= self.versions
        return replace(self, versions=versions, missing=False)

    def excludes(self, version: int) -> bool:
        return self.excluded is None or version in self.excluded

    def require_version(self, version: int) -> None:
        """The part that concerns `versions`. Errors: StaleVersion."""
        if self.versions is not None and version not in self.versions:
            raise StaleVersion(version)

    def require(self, version: int) -> None:
        """Errors: PreconditionRequired, StaleVersion."""
        if self.missing:
            raise PreconditionRequired
        self.require_version(version)
        if self.excludes(version):
            raise StaleVersion(version)


UNCONDITIONAL: Final = Precondition()
