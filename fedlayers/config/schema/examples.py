"""The configuration of what is done to examples: groups planted in them, the server's tests on them."""

from dataclasses import dataclass, field
from typing import Any

from fedlayers.core.checks import check, count
from fedlayers.core.schedule import Schedule


@dataclass(frozen=True)
class Plant:
    """Clients whose data differ in a known way, in groups or one by one: :mod:`fedlayers.data.partitioning.plant`."""

    kind: str | None = None
    groups: int = 4
    rotated: list[Any] = field(default_factory=list)
    relabelled: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check every range."""
        kinds = ("rotation", "permuted_labels")
        check(self.kind in (None, *kinds), "plant.kind", f"one of {', '.join(kinds)}, or null for none", self.kind)
        count("plant.groups", self.groups, least=2)
        groups = self.kind is not None and bool(self.rotated or self.relabelled)
        why = "which groups clients are in is drawn, and plant.rotated and plant.relabelled name clients"
        check(not groups, "plant.kind", "null with plant.rotated or plant.relabelled", self.kind, why)
        proper = all(_numbers(entry) and len(entry) == 2 and entry[1] in (90, 180, 270) for entry in self.rotated)
        wanted = "a list of [client,degrees], 90, 180 or 270, such as [[2,90]]"
        check(proper, "plant.rotated", wanted, self.rotated)
        proper = all(_numbers(one) and len(one) > 2 and len({*one[1:]}) == len(one) - 1 for one in self.relabelled)
        wanted = "a list of [client,class,class,...], two different classes or more, such as [[5,1,9]]"
        check(proper, "plant.relabelled", wanted, self.relabelled)
        for name in ("rotated", "relabelled"):
            named = [entry[0] for entry in getattr(self, name)]
            check(len({*named}) == len(named), f"plant.{name}", "of different clients", named)


def _numbers(entry: object) -> bool:
    return isinstance(entry, list | tuple) and all(isinstance(one, int) for one in entry)


@dataclass(frozen=True)
class ServerTest:
    """On how many examples, and in which rounds, the server tests the global model (start and final: always)."""

    examples: int | None = None
    rounds: list[Any] = field(default_factory=lambda: ["all"])

    def __post_init__(self) -> None:
        """Check that it is a number of examples, and that every entry names a round."""
        count("server_test.examples", self.examples, otherwise=", or null for all")
        self.schedule()

    def schedule(self) -> Schedule:
        """Return when the model that a round made is tested."""
        return Schedule(self.rounds, ["after_aggregate"], "server_test")
