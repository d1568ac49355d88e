"""FedDyn's server: the clients' mean, and as much again as their means have moved so far.

References:
    Acar et al. 2021, Federated Learning Based on Dynamic Regularization, ICLR (arXiv 2111.04263), algorithm 1.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.serverapp import Grid

from strategies.fedavg import FedAvg


class FedDyn(FedAvg):
    """w ← w̄ − h/α with h ← h − (α/N) Σ_S (w_k − w): N all clients, S those of the round, w̄ the mean of the w_k.

    With s = −h/α that is s ← s + (|S|/N) (w̄ − w) and w ← w̄ + s, for which it needs no α. The paper's mean is uniform
    (``weighting=uniform``); with other weights w̄ is the weighted mean in both places.

    Args:
        **flower: arguments of Flower's FedAvg (sampling fractions, the key of the weights).
    """

    averages: ClassVar[bool] = True

    def __init__(self, **flower: Any) -> None:
        super().__init__(**flower)
        self.moved: dict[str, np.ndarray] = {}
        # |S| / N of the round that is under way.
        self.taking_part = 1.0

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Remember the weights that the clients start from, and sample clients."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        self.taking_part = len(messages) / len(list(grid.get_node_ids()))
        return messages

    def _moves(self) -> bool:
        return True

    def _step(self, mean: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        for name, array in mean.items():
            self.moved[name] = self.moved.get(name, 0.0) + self.taking_part * (array - self.current[name])
        return {name: array + self.moved[name] for name, array in mean.items()}
