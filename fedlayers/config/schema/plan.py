"""Which layers the clients share, as the configuration says it."""

from dataclasses import dataclass, field
from typing import Any

from fedlayers.core.checks import check, count, one_of
from fedlayers.core.plans.kind_names import KINDS

# It is part of tables and figures.
_LONGEST = 100
_BY_NAME = ("personal", "shared", "groups")


@dataclass(frozen=True)
class Plan:
    """Which layers the clients share, see :class:`fedlayers.core.plans.plan.FederationPlan`.

    A plan that changes is a ``rule``, see :mod:`fedlayers.core.plans.rule`, under a name of its own.
    """

    name: str = "all"
    personal: list[str] = field(default_factory=list)
    head_layers: int = 1
    shared: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    layers: int = 1
    rule: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that layers are named where, and only where, the plan is by names."""
        check(len(self.name) <= _LONGEST, "plan.name", f"a name of at most {_LONGEST} characters", self.name)
        if not self.rule:
            one_of("plan.name", self.name, tuple(KINDS))
        check(not self.rule or self.name not in KINDS, "plan.rule", f"left out with plan={self.name}", self.rule)
        count("plan.head_layers", self.head_layers, otherwise=" (plan=all leaves clients none)")
        count("plan.layers", self.layers, otherwise=" (algorithm=local shares none)")
        for key in _BY_NAME:
            names = getattr(self, key)
            if self.name != key:
                check(not names, f"plan.{key}", f"left out with plan={self.name}", names, f"choose plan={key}")
            else:
                advice = f"name them, such as plan.{key}=[fc2], or choose plan=all"
                check(bool(names), f"plan.{key}", f"one layer or more with plan={key}", names, advice)

    @property
    def setting(self) -> int | list[str] | None:
        """The value of the setting that says which or how many layers, None if the plan needs none."""
        key = KINDS.get(self.name)
        found: int | list[str] | None = getattr(self, key) if key else None
        return found
