"""FedDyn's participant: its objective is bent until it is stationary where all clients' objectives are.

References:
    Acar et al. 2021, Federated Learning Based on Dynamic Regularization, ICLR (arXiv 2111.04263), algorithm 1.
"""

from typing import ClassVar

from torch import Tensor

from clients.control_variates.base import ControlVariateClient, update_of
from clients.network import Weights
from clients.obedience import proximal_term
from clients.trained import Trained
from fedlayers.core.checks import check, positive
from fedlayers.flower.orders import OBEYED
from fedlayers.flower.session import Session


class FedDynClient(ControlVariateClient):
    """Minimises F_k(w) − ⟨c_k, w⟩ + (α/2) ‖w − wᵗ‖², wᵗ what it received; after training c_k ← c_k − α (w_k − wᵗ).

    c_k stands for the gradient ∇F_k(w_k) of its last training. In a client's first one it is FedProx with µ = α.

    Args:
        session: this client's data, model and generators for one message.
        alpha: α > 0.
    """

    # Not proximal-mu: its strength is alpha.
    extra_loss_adds_up: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = tuple(key for key in OBEYED if key != "proximal-mu")

    def __init__(self, session: Session, alpha: float) -> None:
        check(positive(alpha), "algorithm.alpha", "a positive number", alpha)
        super().__init__(session)
        self.alpha = alpha

    def extra_loss(self, parameters: Weights, reference: Weights) -> Tensor | None:
        """Return (α/2) ‖w − wᵗ‖²."""
        own = {name: parameters[name] for name in self.session.received}
        return proximal_term(self.alpha, own, reference) if own else None

    def correction(self) -> Weights:
        """Return −c_k."""
        return {name: -own for name, own in self.control.items()}

    def renewed(self, trained: Trained) -> dict[str, Tensor]:
        """Return the new c_k."""
        moved = {name: self.alpha * own for name, own in update_of(self, trained).items()}
        return {name: self.control[name] + own if self.control else own for name, own in moved.items()}
