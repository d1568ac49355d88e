"""What a reader has to know of a quantity: unit, range, direction, symmetry, reference, and its name of before."""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial

# Of the text that states quantities in a run's folder.
QUANTITIES_VERSION = 1
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
        of_loss: whether it is measured in the loss's unit or its square, which is ``nat`` unless a run's objective has
            another one: the run then states that.
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
    of_loss: bool = False

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

    def beside(self, other: "Facts") -> "Facts":
        """Return what holds for values of both in one table or figure: each unit, the wider limits, a common direction.

        >>> nats, squares = LossFacts("loss", "nat", 0, 1, "lower", ""), LossFacts("loss", "1", 0, 4, "lower", "")
        >>> both = nats.beside(squares)
        >>> both.unit, both.limits
        ('nat or no unit', (0, 4))
        """
        named = [part for one in (self, other) for part in _NO_UNIT.get(one.unit, one.unit).split(_OR)]
        return replace(
            self,
            unit=self.unit if self.unit == other.unit else _OR.join(dict.fromkeys(named)),
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            direction=self.direction if self.direction == other.direction else "neutral",
            symmetric=self.symmetric and other.symmetric,
        )


# How units are named together.
_OR = " or "
_NO_UNIT = {"1": "no unit", "": "an unknown unit"}
# Facts of what is measured in the loss's unit.
LossFacts = partial(Facts, of_loss=True)


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
        """Return what holds for a quantity about which nothing is stated, unless it is by its name of now."""
        if name in RENAMED and RENAMED[name].quantity in self:
            return replace(self[RENAMED[name].quantity], name=name)
        return Facts(name, "", -math.inf, math.inf, "neutral", "")


def to_json(quantities: Quantities, indent: int | None = None) -> str:
    """Return the text that ``fedlayers.runs.quantities`` reads; no limit is null, for JSON has no infinity."""
    entries = [asdict(facts) for facts in quantities.values()]
    for entry in entries:
        entry |= {end: entry[end] if math.isfinite(entry[end]) else None for end in ("low", "high")}
    return json.dumps({"version": QUANTITIES_VERSION, "quantities": entries}, indent=indent, ensure_ascii=False)


def stated_by(plugin: type) -> list[Facts]:
    """Return what a class states in ``facts``, and those that it is derived from: their rows are its own, too."""
    return [facts for cls in plugin.__mro__ for facts in vars(cls).get("facts", ())]


@dataclass(frozen=True)
class Renamed:
    """What the old name of a distance of representations stands for; it is understood wherever one is given.

    Attributes:
        name: what the distance is called where distances are chosen.
        quantity: the column ``metric`` of its rows.
        estimator: what ``variant`` of its rows holds that tells it from others of the quantity; empty if nothing does.
    """

    name: str
    quantity: str
    estimator: str = ""


RENAMED = {
    "cka_dst": Renamed("cka_distance", "cka_distance", "debiased"),
    "cka_biased_dst": Renamed("cka_biased_distance", "cka_distance", "biased"),
    "activation_procrustes_dst": Renamed("procrustes_distance", "procrustes_distance"),
    "shape_0_dst": Renamed("shape_0_distance", "shape_distance", "alpha=0"),
    "shape_05_dst": Renamed("shape_05_distance", "shape_distance", "alpha=0.5"),
    "svcca_dst": Renamed("svcca_distance", "svcca_distance"),
    "pwcca_dst": Renamed("pwcca_distance", "pwcca_distance"),
    "rsa_dst": Renamed("rsa_distance", "rsa_distance"),
}
_OLD = re.compile(rf"(?<!\w)({'|'.join(RENAMED)})(?!\w)")


def in_new_names(text: str) -> str:
    """Return a text with the old names in it as they are now.

    >>> in_new_names("mean&full-cka_dst"), in_new_names("l2_dst")
    ('mean&full-cka_distance', 'l2_dst')
    """
    return _OLD.sub(lambda found: RENAMED[found[0]].name, text)


def quantity_now(metric: str) -> str:
    """Return what the column ``metric`` says now in place of a name.

    >>> quantity_now("shape_05_dst"), quantity_now("loss")
    ('shape_distance', 'loss')
    """
    return RENAMED[metric].quantity if metric in RENAMED else metric


def told(names: Iterable[str]) -> list[str]:
    """Return a sentence for each distance that is chosen by an old name, such as ``mean-cka_dst``."""
    old = dict.fromkeys(base for name in names if (base := name.rpartition("-")[2]) in RENAMED)
    sentences = []
    for base in old:
        now = RENAMED[base]
        rows = now.quantity + (f", {now.estimator}" if now.estimator else "")
        sentences.append(f"the distance {base} is called {now.name} now, and its rows in the tables {rows}")
    return sentences
