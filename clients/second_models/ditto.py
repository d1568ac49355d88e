"""Ditto's participant: a second model, trained alone but held near the global one.

References:
    Li, Hu, Beirami & Smith 2021, Ditto: Fair and Robust Federated Learning Through Personalization, ICML
    (arXiv 2012.04221), algorithm 1.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from torch import Tensor

from clients.learners.base import Hooks, Learner
from clients.network import Network, Weights
from clients.obedience import proximal_term
from clients.observers import Observer
from clients.onlookers import of_network
from clients.second_models.base import SECOND_OPTIMIZER, SecondModelClient
from clients.training import LocalResult
from fedlayers.core.checks import check, not_negative
from fedlayers.flower.session import OPTIMIZER, Session


class DittoClient(SecondModelClient):
    """Trains the shared model as FedAvg does, then v_k on F_k(v) + (λ/2) ‖v − wᵗ‖², wᵗ the global model received.

    Only the shared model is sent. Both see the same batches; with λ = 0 v_k is trained alone, as ``algorithm=local``
    does. By a federation plan wᵗ has shared layers alone: v_k is held near it in those.

    Args:
        session: this client's data, model and generators for one message.
        strength: λ ≥ 0.
    """

    def __init__(self, session: Session, strength: float) -> None:
        check(not_negative(strength), "algorithm.strength", "0 or more (0 is local training)", strength)
        super().__init__(session)
        self.strength = strength

    def learner(self, network: Network, hooks: Hooks, names: Iterable[str] | None = None) -> Learner:
        """Return the shared model's learner, and make that of v_k."""
        self.prepare(network)
        came = tuple(self.session.received)
        near = Hooks(
            hooks.reference,
            self.pull if self.strength and came else None,
            adds_up=(type(self), self.strength, came),
        )
        self.nearby = super().learner(self.second, near)
        return super().learner(network, hooks, names)

    def pull(self, parameters: Weights, reference: Weights) -> Tensor:
        """Return (λ/2) ‖v − wᵗ‖² over the layers that came."""
        return proximal_term(self.strength, {n: parameters[n] for n in self.session.received}, reference)

    def train(self, learner: Learner, observers: Sequence[Observer] = (), state: str = OPTIMIZER) -> LocalResult:
        """Train the shared model, then v_k."""
        second = of_network(observers, self.second)
        result = super().train(learner, [one for one in observers if one not in second], state)
        nearby = super().train(self.nearby, second, SECOND_OPTIMIZER)
        return replace(result, observed_s=result.observed_s + nearby.observed_s)
