"""What servers share that look at every reply before they take the weighted mean."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid

from fedlayers.flower.adapter import number, records_of
from fedlayers.flower.arrays import decode
from fedlayers.flower.sums import averaged, block_of
from strategies.fedavg import FedAvg


class ByReply(FedAvg):
    """FedAvg whose server learning rate, or whose weights of the clients, follow from a round's replies.

    Sums are taken in FedAvg's order: where :meth:`look` changes nothing, this is FedAvg, bit for bit.

    Args:
        **flower: arguments of Flower's FedAvg (sampling fractions, the key of the weights).
    """

    def __init__(self, **flower: Any) -> None:
        super().__init__(**flower)
        # Of the round that is under way: what clients start from, and in which order replies are summed.
        self.sent: dict[str, np.ndarray] = {}
        self.blocks: dict[int, int] = {}

    @abstractmethod
    def look(self, replies: Sequence[Message]) -> str:
        """Set ``server_lr`` for this round, and return the metric of the replies by which they are weighted.

        Args:
            replies: at least one, without errors, by client.
        """

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Remember the weights that the clients start from, and sample clients."""
        self.sent = {name: decode(array) for name, array in arrays.items()}
        messages = list(super().configure_train(server_round, arrays, config, grid))
        self.blocks = block_of(messages)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Look at the replies, and move the global weights as FedAvg does."""
        valid = [reply for reply in replies if reply.has_content()]
        key = self.look(valid) if valid else self.weighted_by_key
        self.current = self.sent
        found: tuple[ArrayRecord | None, MetricRecord | None]
        found = super().aggregate_train(server_round, averaged(valid, self.blocks, key))
        self.sent, self.current = {}, {}
        return found

    def shares(self, replies: Sequence[Message]) -> np.ndarray:
        """Return p_k, each reply's share in the weighted mean, shape (n,), summing to 1."""
        weights = np.array([metric(reply, self.weighted_by_key) for reply in replies])
        return np.asarray(weights / weights.sum())


def metric(reply: Message, name: str) -> float:
    """Return a metric of a reply."""
    return number(records_of(reply.content, MetricRecord)["metrics"][name])
