"""SCAFFOLD's server: FedAvg's, with the mean of all clients' control variates, which it sends beside the model.

References:
    Karimireddy et al. 2020, SCAFFOLD: Stochastic Controlled Averaging for Federated Learning, ICML (arXiv 1910.06378),
    algorithm 1.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from fedlayers.flower.contents import array_record
from fedlayers.flower.strategy_contract import arrays_named
from strategies.fedavg import FedAvg

_CONTROL = "control"


class Scaffold(FedAvg):
    """c ← c + (1/N) Σ_S Δc_k, N all clients and S those of the round; w ← w + η_g Σ p_k (w_k − w).

    The paper has p_k = 1/|S| (``weighting=uniform``). In the first round all control variates are 0, and it is FedAvg,
    bit for bit.

    Args:
        server_lr: η_g > 0.
        **flower: arguments of Flower's FedAvg (sampling fractions, the key of the weights p_k).
    """

    def __init__(self, server_lr: float = 1.0, **flower: Any) -> None:
        super().__init__(server_lr, **flower)
        self.control: dict[str, np.ndarray] = {}
        # N, as of the round that is under way.
        self.clients = 1

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Sample clients and send each the model and c."""
        if not self.control:
            self.control = {name: np.zeros(array.shape, array.dtype) for name, array in arrays.items()}
        self.clients = len(list(grid.get_node_ids()))
        messages = list(super().configure_train(server_round, arrays, config, grid))
        record = array_record(self.control)
        for message in messages:
            message.content[_CONTROL] = record
        return messages

    def receive(self, server_round: int, moment: str, records: Mapping[int, RecordDict]) -> None:
        """Add what the clients' control variates changed by."""
        total = {name: np.zeros(array.shape) for name, array in self.control.items()}
        for change in arrays_named(records, _CONTROL).values():
            for name, array in change.items():
                total[name] += array
        for name, own in self.control.items():
            self.control[name] = np.asarray(own + total[name] / self.clients, dtype=own.dtype)
