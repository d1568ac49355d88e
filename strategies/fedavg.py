"""FedAvg's server, with a server learning rate and momentum.

References:
    McMahan et al. 2017, AISTATS; Hsu et al. 2019, arXiv 1909.06335 (server momentum); Reddi et al. 2021, ICLR.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg as FlowerFedAvg

from fedlayers.arrays import decode, encode
from fedlayers.config import check
from fedlayers.flower import number


class FedAvg(FlowerFedAvg):
    """Moves the global weights towards the weighted mean of the clients' weights.

    With Δ = Σ p_k w_k − w and velocity v ← β v + Δ, the global weights become w + η v. Sums run in double precision in
    the order of the clients and are rounded once.

    Args:
        server_lr: η > 0; 1 takes the mean itself.
        server_momentum: β in [0, 1); 0 is FedAvg.
        **flower: arguments of Flower's FedAvg (sampling fractions, the key of the weights p_k).
    """

    def __init__(self, server_lr: float = 1.0, server_momentum: float = 0.0, **flower: Any) -> None:
        check(0 < server_lr < math.inf, "algorithm.server_lr", "a positive number", server_lr)
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
        valid, _ = self._check_and_log_replies(replies, is_train=True)
        if not valid:
            return None, None
        contents = [message.content for message in valid]
        mean = weighted_mean(contents, self.weighted_by_key)
        exact = self._step(mean) if self._moves() else mean
        sent = next(iter(contents[0].array_records.values()))
        arrays = ArrayRecord({name: encode(np.asarray(exact[name], dtype=own.dtype)) for name, own in sent.items()})
        return arrays, self.train_metrics_aggr_fn(contents, self.weighted_by_key)

    def _moves(self) -> bool:
        """Say whether the server's step is anything but taking the mean."""
        return self.server_lr != 1 or self.server_momentum != 0

    def _step(self, mean: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        for name, array in mean.items():
            self.velocity[name] = self.server_momentum * self.velocity.get(name, 0.0) + (array - self.current[name])
        return {name: self.current[name] + self.server_lr * self.velocity[name] for name in mean}


def weighted_mean(contents: list[RecordDict], key: str) -> dict[str, np.ndarray]:
    """Return the mean of the replies' arrays, weighted by one of their metrics.

    Args:
        contents: the replies, each with one ArrayRecord and one MetricRecord, in the order of the clients.
        key: the metric that holds a reply's weight.

    Returns:
        Name -> array in float64, the precision of the sum.
    """
    weights = np.array([number(next(iter(content.metric_records.values()))[key]) for content in contents])
    shares = weights / weights.sum()
    sums: dict[str, np.ndarray] = {}
    products: dict[str, np.ndarray] = {}
    for content, share in zip(contents, shares, strict=True):
        for name, array in next(iter(content.array_records.values())).items():
            value = decode(array)
            if name in sums:
                np.multiply(value, share, out=products[name], dtype=np.float64)
                np.add(sums[name], products[name], out=sums[name])
            else:
                sums[name] = np.asarray(np.multiply(value, share, dtype=np.float64))
                products[name] = np.empty_like(sums[name])
    return sums
