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
from clients.second_models.base import Beside, SecondModelClient, personal_names
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
        inner = super().learner(self.second, near, names)
        return MoreauSteps(network, inner, self.inner_steps, self.eta, self.strength)

    def pull(self, parameters: Weights, reference: Weights) -> Tensor:
        """Return (λ/2) ‖θ − w‖²."""
        return proximal_term(self.strength, parameters, reference)


class MoreauSteps(Beside):
    """K steps of an inner learner on each batch, and one of the shared weights towards what it came to.

    Args:
        shared: the network with w.
        inner: the learner of θ.
        steps: K.
        eta, strength: η and λ; η λ is the share of the way.
    """

    def __init__(self, shared: Network, inner: Learner, steps: int, eta: float, strength: float) -> None:
        super().__init__({"personal": inner})
        self.networks = (shared, *inner.networks)
        self.inner, self.steps, self.eta, self.strength = inner, steps, eta, strength
        self._seen: Weights = {}

    def step(self, batch: Batch, step: Step) -> Tensor:
        """Take the steps, and return the loss before the first of them."""
        first, *_ = [self.inner.step(batch, step) for _ in range(self.steps)]
        with torch.no_grad():
            for name, own in self.inner.trained.items():
                away = self.weights[name] - own
                self.weights[name].sub_(away, alpha=self.eta * self.strength)
                if self._is_watched:
                    self._seen = {**self._seen, name: self.strength * away}
        return first

    def watch(self) -> None:
        """Keep the gradients of the next step until they are asked for."""
        super().watch()
        self._is_watched = True

    def release(self) -> Weights:
        """Return the gradient of w in the last step, λ (w − θ), and θ's of the last of its K, and forget them."""
        found, self._seen = self._seen, {}
        self._is_watched = False
        return {**found, **personal_names(self.inner.release())}
