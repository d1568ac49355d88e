"""SCAFFOLD's participant: it corrects each gradient by what the clients' gradients differ by on average.

References:
    Karimireddy et al. 2020, SCAFFOLD: Stochastic Controlled Averaging for Federated Learning, ICML (arXiv 1910.06378),
    algorithm 1 with option II.
"""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from clients.control_variates.base import CONTROL, ControlVariateClient, update_of
from clients.control_variates.descent import check_descent, length
from clients.network import Weights
from clients.trained import Trained
from fedlayers.flower.session import Session


class ScaffoldClient(ControlVariateClient):
    """Steps along g − c_k + c; after training c_k ← c_k − c + (w − w_k) / a, the mean gradient of its steps.

    c is the server's control variate, and a = K η as in option II, K steps of learning rate η; with momentum a is how
    far they move along one gradient, for else c_k would be many gradients long.

    Args:
        session: this client's data, model and generators for one message.
    """

    reads: ClassVar[tuple[str, ...]] = (*ControlVariateClient.reads, CONTROL)

    def __init__(self, session: Session) -> None:
        check_descent(session)
        super().__init__(session)
        self.change: dict[str, Tensor] = {}

    def correction(self) -> Weights:
        """Return c − c_k."""
        server = self.session.arrays(CONTROL)
        return {name: c - self.control[name] if self.control else c for name, c in server.items()}

    def renewed(self, trained: Trained) -> dict[str, Tensor]:
        """Return c_k⁺."""
        far, server = length(self.told.training, self.lr, trained.result.steps), self.session.arrays(CONTROL)
        scale = 1 / far if far else 0.0
        self.change = {name: scale * own - server[name] for name, own in update_of(self, trained).items()}
        return {name: self.control[name] + own if self.control else own for name, own in self.change.items()}

    def beside(self, trained: Trained) -> Mapping[str, Weights]:
        """Return by how much c_k changed."""
        return {CONTROL: self.change}
