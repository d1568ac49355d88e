"""FedRoD's participant: a shared model that treats classes alike, and a head of its own that does not.

References:
    Chen & Chao 2022, On Bridging Generic and Personalized Federated Learning for Image Classification, ICLR
    (arXiv 2107.00778), algorithm 1, linear heads.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from clients.learners.base import Hooks, Learner
from clients.learners.end_to_end import EndToEnd, check_end_to_end
from clients.losses.one_class import check_one_class
from clients.network import Network, Weights
from clients.second_models.base import SECOND, SecondModelClient
from clients.second_models.mixture import MixedSteps, MixtureLearner
from fedlayers.core.checks import check
from fedlayers.flower.session import Session
from fedlayers.objectives.balanced_softmax import BalancedSoftmax
from fedlayers.objectives.objective import ClassCounts, Objective


class FedRoDClient(SecondModelClient):
    """Trains body and head w on the balanced softmax loss, and a head v on the run's, whose logits add to w's.

    The personal model's logits are h_w(z) + h_v(z), z the features before the last layer, of which v's gradient is
    taken with z and h_w held. Both heads are linear, so that is one head with the weights w + v; v starts as 0. Without
    the balanced loss the shared model is FedAvg's, bit for bit.

    Args:
        session: this client's data, model and generators for one message.
        balanced: whether the shared model's loss weighs classes by the client's counts of them.
    """

    # The last layer must be shared in all rounds.
    takes_parts = False

    def __init__(self, session: Session, balanced: bool) -> None:
        check_end_to_end(session)
        super().__init__(session)
        self.balanced = balanced
        check_one_class(session, "fedrod")
        # Without a session only the arguments are tried.
        if session is not None:
            last, plan = session.workspace.layers[-1], session.plan
            check(last.kind == "linear", "model", "one with a linear last layer with algorithm=fedrod", last.kind)
            shares = f"one that shares {last.name}, beside which each client has a head of its own"
            check(plan.shares(last), "plan", shares, session.workspace.config.plan.name, "choose plan=all")

    def learner(self, network: Network, hooks: Hooks, names: Iterable[str] | None = None) -> Learner:
        """Return what steps the shared model and the own head at once."""
        objective = self._balanced() if self.balanced else self.objective
        shared = EndToEnd(network, self.told.training, self.lr, names=names, hooks=hooks, objective=objective)
        layer = self.session.workspace.layers[-1]
        self.own = self.session.stored(SECOND) or {n: torch.zeros_like(network.parameters[n]) for n in layer.names}
        buffers = {name: tensor.clone() for name, tensor in network.buffers.items()}
        self.second = network.twin({**network.parameters, **self._summed(network.parameters)}, buffers)
        head = {name: self.second.parameters[name] for name in self.own}
        self.second_start = {name: tensor.clone() for name, tensor in self.second.parameters.items()}

        def mix() -> None:
            for name, tensor in self._summed(network.parameters).items():
                head[name].copy_(tensor)

        learner = MixtureLearner(self.second, self.own, lambda _: None, self.told.training, self.lr, self.objective)
        return MixedSteps(shared, learner, mix)

    def personal(self, received: Weights) -> Weights:
        """Return the global model that came, with both heads."""
        self.own = self.session.stored(SECOND)
        return {**received, **self._summed(received)}

    def _summed(self, shared: Weights) -> dict[str, Tensor]:
        return {name: shared[name].detach() + own for name, own in self.own.items()}

    def _balanced(self) -> Objective:
        federation, client = self.session.workspace.federation, self.session.client
        return BalancedSoftmax().bound(ClassCounts(len(federation.classes), lambda _: federation.class_counts(client)))
