"""Every client draws in every round which layers it sends."""

from fedlayers.core.checks import check
from fedlayers.core.plans.plan import FederationPlan
from fedlayers.core.plans.rule import PlanRule
from fedlayers.core.seeding import numpy_generator


class Drawn(PlanRule):
    """Each client sends each layer with probability p, drawn anew in every round; it trains and gets all of them.

    A layer becomes w_l = Σ_{k ∈ S_l} n_k w_{k,l} / Σ_{k ∈ S_l} n_k over the clients S_l that sent it, and stays as it
    was if none did: FedLP with homogeneous models, whose clients start every round from the global model. With p = 1
    it is FedAvg, bit for bit. The paper divides by the number of clients in S_l (``weighting=uniform``).

    Args:
        keep: p in (0, 1], the layer-preserving rate.

    References:
        Zhu, Shi, Luo, Wang, Peng, Fan & Letaief 2023, FedLP: Layer-wise Pruning Mechanism for Communication-Computation
        Efficient Federated Learning, ICC (arXiv 2303.06360).
    """

    def __init__(self, keep: float) -> None:
        check(0 < keep <= 1, "plan.rule.keep", "in (0, 1] (1 is FedAvg)", keep)
        self.keep = keep

    def holding(self, server_round: int, client: int) -> FederationPlan:
        """Return the plan that withholds what the client does not send."""
        draws = numpy_generator(self.seed, "plan", server_round, client).random(len(self.layers))
        unsent = tuple(layer for layer, draw in zip(self.layers, draws, strict=True) if draw >= self.keep)
        return FederationPlan(
            withheld=unsent, how=f"each layer sent with probability {self.keep:g}", since=server_round
        )
