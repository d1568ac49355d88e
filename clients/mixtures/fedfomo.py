"""FedFomo's participant: it takes over of others' models what lowers its loss on validation examples.

References:
    Zhang, Sapra, Fidler, Yeung & Alvarez 2021, Personalized Federated Learning with First Order Model Optimization,
    ICLR (arXiv 2012.08565), algorithm 1 and equations 3 and 4.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from clients.local import LocalClient
from clients.network import Network, Weights
from clients.trained import Trained
from fedlayers.core.checks import check
from fedlayers.flower.session import Session

OTHERS, WEIGHTS = "others", "weights"
_BATCH = 128


class FedFomoClient(LocalClient):
    """Trains from θ_k + Σ_n w_n⁺ (θ_n − θ_k) / Σ_n w_n⁺, with w_n = (L_k(θ_k) − L_k(θ_n)) / ‖θ_n − θ_k‖.

    θ_k is its own model, θ_n are those that the server sends, L_k is the loss on its validation examples, and w⁺ stands
    for max(w, 0); where all are 0, and without validation examples, it trains from θ_k. All w_n go back to the server,
    and the trained model. Without others' models it is ``algorithm=local``, bit for bit.

    Args:
        session: this client's data, model and generators for one message.
    """

    reads: ClassVar[tuple[str, ...]] = (*LocalClient.reads, OTHERS)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.weights: Tensor | None = None
        # Without a session only the arguments are tried.
        if session is not None:
            share = session.workspace.config.split.val
            check(share > 0, "split.val", "positive with algorithm=fedfomo", share, "clients choose models by it")

    def initial(self, received: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return its own model, moved towards those of others that are better for it."""
        own, others = super().initial(received), self.session.arrays(OTHERS)
        if not others or "client_val" not in self.session.data():
            return own
        self.weights = self._weights(own, others)
        shares = self.weights.clamp(min=0)
        if not shares.any():
            return own
        shares = shares / shares.sum()
        return {name: mixed(tensor, others[name], shares) for name, tensor in own.items()}

    def beside(self, trained: Trained) -> Mapping[str, Weights]:
        """Return w_n of the models that were sent, in their order."""
        return {} if self.weights is None else {WEIGHTS: {"weights": self.weights}}

    def _weights(self, own: Weights, others: Weights) -> Tensor:
        """Return w_n for each of the models, float64; 0 for one that is equal to its own, or has no finite loss."""
        before = self._loss(own)
        found = []
        for place in range(len(next(iter(others.values())))):
            model = {name: tensor[place] for name, tensor in others.items()}
            far = torch.stack([(model[name] - own[name]).double().square().sum() for name in own]).sum().sqrt()
            weight = (before - self._loss(model)) / far
            found.append(weight.nan_to_num(0, posinf=0, neginf=0))
        return torch.stack(found)

    def _loss(self, weights: Weights) -> Tensor:
        """Return the mean loss on the validation examples, float64."""
        workspace, examples = self.session.workspace, self.session.data()["client_val"]
        network = Network(workspace.module, weights, self.buffers())

        def losses() -> list[Tensor]:
            network.module.eval()
            batches = (examples.batch(part) for part in torch.split(torch.arange(len(examples)), _BATCH))
            return [
                self.objective(network(features.to(workspace.device)).double(), labels.to(workspace.device))
                for features, labels in batches
            ]

        with torch.no_grad():
            return torch.cat(network.held(losses)).mean()


def mixed(own: Tensor, others: Tensor, shares: Tensor) -> Tensor:
    """Return θ + Σ_n p_n (θ_n − θ), computed in float64.

    Args:
        own: θ.
        others: θ_n, shape (M, …).
        shares: p_n, shape (M,), float64.

    Examples:
        >>> mixed(torch.tensor([1.0]), torch.tensor([[3.0], [1.0]]), torch.tensor([0.5, 0.5]).double())
        tensor([2.])
    """
    moves = others.double() - own.double()
    found: Tensor = own.double() + torch.tensordot(shares, moves, 1)
    return found.to(own.dtype)
