"""FedSAM's participant: it steps along the gradient at the worst weights nearby.

References:
    Qu, Li, Duan, Liu, Tang & Lu 2022, Generalized Federated Learning via Sharpness Aware Minimization, ICML
    (arXiv 2206.02618), algorithm 1; Foret et al. 2021, Sharpness-Aware Minimization, ICLR (arXiv 2010.01412).
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from clients.fedavg import FedAvgClient
from clients.learners.base import Hooks, Learner
from clients.learners.end_to_end import check_end_to_end
from clients.losses.base import SeesBatch
from clients.network import Network
from fedlayers.core.checks import check, not_negative
from fedlayers.flower.session import Session


class FedSAMClient(FedAvgClient):
    """Steps along ∇f(w + ρ ∇f(w) / ‖∇f(w)‖), f a batch's loss; the norm is over all weights that are trained.

    With ρ = 0 it is FedAvg, bit for bit.

    Args:
        session: this client's data, model and generators for one message.
        rho: ρ ≥ 0.
    """

    def __init__(self, session: Session, rho: float) -> None:
        check(not_negative(rho), "algorithm.rho", "0 or more (0 is FedAvg)", rho)
        check_end_to_end(session)
        super().__init__(session)
        self.rho = rho

    def learner(self, network: Network, hooks: Hooks, names: Iterable[str] | None = None) -> Learner:
        """Return a learner that looks around."""
        if not self.rho:
            return super().learner(network, hooks, names)
        found = Sharpness(network, self.told.training, self.lr, names=names, hooks=hooks, objective=self.objective)
        found.rho = self.rho
        return found


class Sharpness(SeesBatch):
    """Takes the gradient at ρ from the weights, in the direction in which the loss rises most.

    The arguments are those of :class:`clients.learners.end_to_end.EndToEnd`.
    """

    rho: float

    def slopes(self, loss: Tensor) -> Sequence[Tensor]:
        """Return the gradients there."""
        first = super().slopes(loss)
        norms = [torch.linalg.vector_norm(gradient, dtype=torch.float64) for gradient in first]
        scale = self.rho / (torch.linalg.vector_norm(torch.stack(norms)) + 1e-12)
        before = [weight.detach().clone() for weight in self.leaves]
        with torch.no_grad():
            for weight, gradient in zip(self.leaves, first, strict=True):
                weight.add_(gradient * scale.to(gradient.dtype))
        found = super().slopes(self.loss_of(self.batch))
        with torch.no_grad():
            for weight, own in zip(self.leaves, before, strict=True):
                weight.copy_(own)
        return found
