"""APFL's participant: its personal model is a mixture of a model of its own and the shared one.

References:
    Deng, Kamani & Mahdavi 2020, Adaptive Personalized Federated Learning, arXiv 2003.13461, algorithm 1.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from clients.learners.base import Hooks, Learner
from clients.learners.end_to_end import check_end_to_end
from clients.network import Network, Weights
from clients.second_models.base import SECOND, SecondModelClient
from clients.second_models.mixture import MixedSteps, MixtureLearner
from clients.trained import Trained
from fedlayers.core.checks import check
from fedlayers.flower.session import Session

_ALPHA = "mixture"


class APFLClient(SecondModelClient):
    """Minimises F_k(v̄), v̄ = α v + (1 − α) w, over v, and F_k(w) over w as FedAvg does; w alone is sent.

    On each batch v ← v − η α ∇F_k(v̄) beside w ← w − η ∇F_k(w), and if adaptive α ← α − η ⟨v − w, ∇F_k(v̄)⟩, kept in
    [0, 1]. With α = 1, not adaptive, v̄ is trained alone, as ``algorithm=local`` does.

    Args:
        session: this client's data, model and generators for one message.
        alpha: α in [0, 1], at first.
        adaptive: whether each client learns its α.
    """

    def __init__(self, session: Session, alpha: float, adaptive: bool) -> None:
        check(0 <= alpha <= 1, "algorithm.alpha", "in [0, 1] (1 is local training)", alpha)
        check_end_to_end(session)
        super().__init__(session)
        self.alpha, self.adaptive = alpha, adaptive

    def learner(self, network: Network, hooks: Hooks, names: Iterable[str] | None = None) -> Learner:
        """Return what steps v and w at once."""
        shared = super().learner(network, hooks, names)
        self.prepare(network)
        self.share = self._share()
        self.second = network.twin(self._mixed(self.own, network.parameters), self.second.buffers)
        self.second_start = {name: tensor.clone() for name, tensor in self.second.parameters.items()}
        own = {name: self.own[name] for name in shared.trained}

        def to_own(gradients: dict[str, Tensor]) -> None:
            slope = [((self.own[n] - network.parameters[n]) * g).sum() for n, g in gradients.items()]
            for gradient in gradients.values():
                gradient.mul_(self.share)
            if self.adaptive:
                self.share.sub_(learner.optimizer.lr * torch.stack(slope).sum()).clamp_(0, 1)

        def mix() -> None:
            for name, tensor in self._mixed(self.own, network.parameters).items():
                self.second.parameters[name].copy_(tensor)

        learner = MixtureLearner(self.second, own, to_own, self.told.training, self.lr, self.objective)
        return MixedSteps(shared, learner, mix)

    def keep(self, trained: Trained) -> None:
        """Keep v, and α."""
        super().keep(trained)
        self.session.store(_ALPHA, {"alpha": self.share})

    def personal(self, received: Weights) -> Weights:
        """Return v̄ with the global model that came."""
        own = self.session.stored(SECOND)
        self.share = self._share()
        return self._mixed(own, received) if own else received

    def _share(self) -> Tensor:
        kept = self.session.stored(_ALPHA)
        return kept["alpha"] if kept else torch.tensor(self.alpha, device=self.session.workspace.device)

    def _mixed(self, own: Weights, shared: Weights) -> dict[str, Tensor]:
        return {name: torch.lerp(shared[name].detach(), tensor, self.share) for name, tensor in own.items()}
