"""FedAvg's server, with a server learning rate and momentum.

References:
    McMahan et al. 2017, AISTATS; Hsu et al. 2019, arXiv 1909.06335 (server momentum); Reddi et al. 2021, ICLR.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg as FlowerFedAvg

from fedlayers.core.checks import check, positive
from fedlayers.flower.adapter import records_of
from fedlayers.flower.arrays import decode, encode
from fedlayers.flower.strategy_contract import Declared
from fedlayers.flower.sums import weighted_mean


class FedAvg(Declared, FlowerFedAvg):
    """Moves the global weights towards the weighted mean of the clients' weights.

    With Δ = Σ p_k w_k − w and velocity v ← β v + Δ, the global weights become w + η v. Sums run in double precision in
    the order of the clients and are rounded once.

    Args:
        server_lr: η > 0; 1 takes the mean itself.
        server_momentum: β in [0, 1); 0 is FedAvg.
        **flower: arguments of Flower's FedAvg (sampling fractions, the key of the weights p_k).
    """

    # The replies count only through their weighted mean, so all clients may arrive as one reply.
    averages: ClassVar[bool] = True
    takes_parts: ClassVar[bool] = True

    def __init__(self, server_lr: float = 1.0, server_momentum: float = 0.0, **flower: Any) -> None:
        check(positive(server_lr), "algorithm.server_lr", "a positive number", server_lr)
        check(0 <= server_momentum < 1, "algorithm.server_momentum", "in [0, 1)", server_momentum)
        super().__init__(**flower)
        self.server_lr = server_lr
        self.server_momentum = server_momentum
        self.current: dict[str, np.ndarray] = {}
        self.velocity: dict[str, np.ndarray] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Remember the weights that the clients start from, and sample clients."""
        self.current = {name: decode(array) for name, array in arrays.items()} if self._moves() else {}
        messages: Iterable[Message] = super().configure_train(server_round, arrays, config, grid)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the new global weights and the mean training metrics."""
        contents = [message.content for message in replies if message.has_content()]
        if not contents:
            return None, None
        mean = {name: array.numpy() for name, array in weighted_mean(contents, self.weighted_by_key).items()}
        exact = self._step(mean) if self._moves() else mean
        sent = [record for content in contents for record in records_of(content, ArrayRecord).values()]
        kinds = {name: array.dtype for record in sent for name, array in record.items()}
        arrays = ArrayRecord({name: encode(np.asarray(exact[name], dtype=kind)) for name, kind in kinds.items()})
        return arrays, self.train_metrics_aggr_fn(contents, self.weighted_by_key)

    def _moves(self) -> bool:
        """Say whether the server's step is anything but taking the mean."""
        return self.server_lr != 1 or self.server_momentum != 0

    def _step(self, mean: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        for name, array in mean.items():
            self.velocity[name] = self.server_momentum * self.velocity.get(name, 0.0) + (array - self.current[name])
        return {name: self.current[name] + self.server_lr * self.velocity[name] for name in mean}
