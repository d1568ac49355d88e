"""The configuration of what is done to examples: groups planted in them, the server's tests on them."""

from dataclasses import dataclass, field
from typing import Any

from fedlayers.core.checks import check, count
from fedlayers.core.schedule import Schedule


@dataclass(frozen=True)
class Plant:
    """Groups of clients whose data differ in a known way, see :mod:`fedlayers.data.partitioning.plant`."""

    kind: str | None = None
    groups: int = 4

    def __post_init__(self) -> None:
        """Check every range."""
        kinds = ("rotation", "permuted_labels")
        check(self.kind in (None, *kinds), "plant.kind", f"one of {', '.join(kinds)}, or null for none", self.kind)
        count("plant.groups", self.groups, least=2)


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
