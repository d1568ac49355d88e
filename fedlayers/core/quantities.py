"""What a reader has to know of a quantity to read its values: unit, range, direction, symmetry, reference."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

DIRECTIONS = ("higher", "lower", "neutral")


@dataclass(frozen=True)
class Facts:
    """What a reader has to know to interpret one quantity's values.

    Attributes:
        name: the value of the ``metric`` column.
        unit: the unit, ``"1"`` for a pure number; empty if it is not known.
        low, high: the closed range of possible values (infinities allowed).
        direction: ``higher`` or ``lower`` is better, or ``neutral``.
        reference: the paper or text that defines it.
        symmetric: for pairs, whether swapping the two changes nothing.
        cost: ``cheap`` (no pass over data), ``pass`` (forward or backward passes) or ``heavy``.
        minimum_n: the smallest sample for which the value is defined.
    """

    name: str
    unit: str
    low: float
    high: float
    direction: str
    reference: str
    symmetric: bool = False
    cost: str = "cheap"
    minimum_n: int = 1

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS:
            raise ValueError(f"direction of {self.name} must be one of {', '.join(DIRECTIONS)}, got {self.direction!r}")
        if not self.low <= self.high:
            raise ValueError(f"low of {self.name} must be at most high, {self.high}, got {self.low}")

    @property
    def limits(self) -> tuple[float, float]:
        """The lowest and the highest value there can be, infinite where there is no limit or none is known."""
        return self.low, self.high

    def reads_like(self, other: "Facts") -> bool:
        """Say whether values of both are read in the same way; where that is written and what it costs is no part."""
        mine, others = ((f.unit, f.low, f.high, f.direction, f.symmetric) for f in (self, other))
        return mine == others


class Quantities(dict[str, Facts]):
    """Name -> facts of the quantities that are known; of any other one nothing but the name is."""

    @classmethod
    def of(cls, facts: Iterable[Facts]) -> "Quantities":
        """Return facts by name; of several with one name the first counts."""
        found = cls()
        for one in facts:
            found.setdefault(one.name, one)
        return found

    def __missing__(self, name: str) -> Facts:
        """Return what holds for a quantity about which nothing is stated."""
        return Facts(name, "", -math.inf, math.inf, "neutral", "")


def stated_by(plugin: type) -> list[Facts]:
    """Return what a class states in ``facts``, and those that it is derived from: their rows are its own, too."""
    return [facts for cls in plugin.__mro__ for facts in vars(cls).get("facts", ())]
