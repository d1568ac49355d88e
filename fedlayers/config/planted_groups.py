"""The configuration of planted groups."""

from dataclasses import dataclass

from fedlayers.core.checks import check, count


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
