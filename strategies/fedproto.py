"""FedProto's server: it averages what clients have for each class, and no weights.

References:
    Tan et al. 2022, FedProto: Federated Prototype Learning across Heterogeneous Clients, AAAI (arXiv 2105.00243),
    equation 6.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from fedlayers.flower.contents import array_record
from fedlayers.flower.strategy_contract import arrays_named
from strategies.local import Local

_PROTOTYPES, _COUNTS = "prototypes", "counts"


class FedProto(Local):
    """C_j = Σ_k n_kj C_kj / Σ_k n_kj over the clients that sent class j; else C_j stays as it was.

    C_kj is the mean of client k's features of class j, of n_kj examples. The paper divides once more by the number of
    those clients, which would shrink prototypes with it; public code takes the plain mean of the C_kj.

    Args:
        **flower: arguments of Flower's FedAvg (sampling fractions).
    """

    def __init__(self, **flower: Any) -> None:
        super().__init__(**flower)
        self.prototypes: dict[str, np.ndarray] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Sample clients and send each the prototypes, once there are any."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        if self.prototypes:
            record = array_record(self.prototypes)
            for message in messages:
                message.content[_PROTOTYPES] = record
        return messages

    def receive(self, server_round: int, moment: str, records: Mapping[int, RecordDict]) -> None:
        """Average what the clients sent, class by class."""
        means, counts = arrays_named(records, _PROTOTYPES), arrays_named(records, _COUNTS)
        for label in sorted({name for own in means.values() for name in own}, key=int):
            senders = [node for node in sorted(means) if label in means[node]]
            weights = [float(counts[node][label]) for node in senders]
            found = np.average([means[node][label].astype(np.float64) for node in senders], 0, weights)
            self.prototypes[label] = found.astype(np.float32)
