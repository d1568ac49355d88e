"""Which layers the clients share, as the configuration says it."""

from dataclasses import dataclass, field

from fedlayers.core.checks import check, count, one_of


@dataclass(frozen=True)
class Plan:
    """Which layers the clients share, see :class:`fedlayers.core.federation_plan.FederationPlan`."""

    name: str = "all"
    personal: list[str] = field(default_factory=list)
    head_layers: int = 1

    def __post_init__(self) -> None:
        """Check that layers are named where, and only where, some are personal."""
        one_of("plan.name", self.name, ("all", "personal", "head", "body", "norms"))
        count("plan.head_layers", self.head_layers)
        if self.name != "personal":
            without = f"left out with plan={self.name}"
            check(not self.personal, "plan.personal", without, self.personal, "choose plan=personal")
        else:
            advice = "name them, such as plan.personal=[fc2], or choose plan=all"
            check(bool(self.personal), "plan.personal", "one layer or more with plan=personal", self.personal, advice)
