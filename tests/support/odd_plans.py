"""Rules for plans that no YAML offers, named by ``plan.rule._target_``."""

from fedlayers.core.plans.plan import FederationPlan
from fedlayers.core.plans.rule import PlanRule

# What makes a run of one: its arguments are added to it.
NOTHING = ["plan.name=nothing", "+plan.rule._target_=tests.support.odd_plans.Nothing"]
APART = ["plan.name=apart", "+plan.rule._target_=tests.support.odd_plans.Apart"]


class Nothing(PlanRule):
    """No layer is shared in any round."""

    def holding(self, server_round: int, client: int) -> FederationPlan:
        """Return the plan that leaves all with the clients, once there are rounds."""
        return FederationPlan(self.layers if server_round else ())


class Apart(PlanRule):
    """After round 1 the last layer stays with clients of an even number, and the others share it."""

    def holding(self, server_round: int, client: int) -> FederationPlan:
        """Return the client's plan."""
        return FederationPlan(self.layers[-1:] if server_round > 1 and client % 2 == 0 else ())
