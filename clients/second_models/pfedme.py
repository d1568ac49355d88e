"""pFedMe's participant: the shared model descends the Moreau envelope of the client's loss.

References:
    Dinh, Tran & Nguyen 2020, Personalized Federated Learning with Moreau Envelopes, NeurIPS (arXiv 2006.08848),
    algorithm 1.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from clients.batches import Batch
from clients.learners.base import Hooks, Learner
from clients.network import Network, Weights
from clients.obedience import proximal_term
from clients.second_models.base import Beside, SecondModelClient
from fedlayers.core.checks import check, count, not_negative, positive
from fedlayers.core.schedule import Step
from fedlayers.flower.session import Session


class PFedMeClient(SecondModelClient):
    """Descends F_k(w) = min_θ f_k(θ) + (λ/2) ‖θ − w‖², whose gradient is λ (w − θ̂), θ̂ the minimiser.

    On every batch θ takes K optimizer steps on the batch's loss + (λ/2) ‖θ − w‖²; then w ← w − η λ (w − θ). w is sent,
    θ is the personal model, from which the next batch and the next round go on. With λ = 0 and K = 1 θ is trained
    alone, as ``algorithm=local`` does, and w stays. The training loss is θ's.

    Args:
        session: this client's data, model and generators for one message.
        strength: λ ≥ 0.
        inner_steps: K ≥ 1, with the run's optimizer and learning rate.
        eta: η > 0, the learning rate of w.
    """

    def __init__(self, session: Session, strength: float, inner_steps: int, eta: float) -> None:
        check(not_negative(strength), "algorithm.strength", "0 or more (0 is local training)", strength)
        count("algorithm.inner_steps", inner_steps)
        check(positive(eta), "algorithm.eta", "a positive number", eta)
        super().__init__(session)
        self.strength, self.inner_steps, self.eta = strength, inner_steps, eta

    def learner(self, network: Network, hooks: Hooks, names: Iterable[str] | None = None) -> Learner:
        """Return what takes K steps of θ and one of w."""
        self.prepare(network)
        near = Hooks(network.parameters, self.pull if self.strength else None)
        return MoreauSteps(
            network, super().learner(self.second, near, names), self.inner_steps, self.eta * self.strength
        )

    def pull(self, parameters: Weights, reference: Weights) -> Tensor:
        """Return (λ/2) ‖θ − w‖²."""
        return proximal_term(self.strength, parameters, reference)


class MoreauSteps(Beside):
    """K steps of an inner learner on each batch, and one of the shared weights towards what it came to.

    Args:
        shared: the network with w.
        inner: the learner of θ.
        steps: K.
        rate: η λ, the share of the way.
    """

    def __init__(self, shared: Network, inner: Learner, steps: int, rate: float) -> None:
        super().__init__({"personal": inner})
        self.networks = (shared, *inner.networks)
        self.inner, self.steps, self.rate = inner, steps, rate

    def step(self, batch: Batch, step: Step) -> Tensor:
        """Take the steps, and return the loss before the first of them."""
        first, *_ = [self.inner.step(batch, step) for _ in range(self.steps)]
        with torch.no_grad():
            for name, own in self.inner.trained.items():
                shared = self.weights[name]
                shared.sub_(shared - own, alpha=self.rate)
        return first
