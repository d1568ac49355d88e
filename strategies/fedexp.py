"""FedExP's server: the further apart the clients pull, the longer its step.

References:
    Jhunjhunwala, Wang & Joshi 2023, FedExP: Speeding Up Federated Averaging via Extrapolation, ICLR (arXiv 2301.09604),
    algorithm 1.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from flwr.app import Message

from fedlayers.core.checks import check, positive
from strategies.by_reply import ByReply
from strategies.cluster_models import difference, weights_of


class FedExP(ByReply):
    """Moves the global weights by η_g Δ̄ with η_g = max(1, Σ p_k ‖Δ_k‖² / (2 (‖Δ̄‖² + ε))).

    Δ_k = w_k − w is the update of client k, p_k its share in the mean Δ̄ = Σ p_k Δ_k; the paper has p_k = 1/M. With one
    client, or with clients that agree, η_g is 1, and this is FedAvg, bit for bit. The paper evaluates the mean of the
    last two rounds' weights, here the last ones are measured as everywhere.

    Args:
        epsilon: ε > 0; larger values make the steps shorter.
        **flower: arguments of Flower's FedAvg (sampling fractions, the key of the weights).
    """

    def __init__(self, epsilon: float = 0.001, **flower: Any) -> None:
        check(positive(epsilon), "algorithm.epsilon", "a positive number", epsilon)
        super().__init__(**flower)
        self.epsilon = epsilon

    def look(self, replies: Sequence[Message]) -> str:
        """Set η_g."""
        shares, mean = self.shares(replies), {name: np.zeros(array.shape) for name, array in self.sent.items()}
        squares = 0.0
        for share, reply in zip(shares, replies, strict=True):
            update = difference(weights_of(reply), self.sent)
            squares += share * _squared(update.values())
            for name, array in update.items():
                mean[name] += share * array
        self.server_lr = max(1.0, squares / (2 * (_squared(mean.values()) + self.epsilon)))
        return str(self.weighted_by_key)


def _squared(arrays: Iterable[np.ndarray]) -> float:
    return float(sum(np.vdot(array, array) for array in arrays))
