"""What Satchel alone is held to, whatever its peers do."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A figure beside its mark, a bound below it or, `at_most`, above."""

    title: str
    reached: float
    wanted: float
    at_most: bool

    @property
    def holds(self) -> bool:
        return self.reached <= self.wanted if self.at_most else self.reached >= self.wanted

    @property
    def line(self) -> str:
        sign = "<=" if self.at_most else ">="
        verdict = "" if self.holds else " MISSED"
        return f"{self.title:<76}{self.reached:>8.2f} ({sign} {self.wanted}){verdict}"
