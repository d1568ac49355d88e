"""The server of ``local``: sends clients out to train and aggregates nothing."""

from collections.abc import Iterable
from typing import Any, ClassVar

from flwr.app import ArrayRecord, Message, MetricRecord
from flwr.serverapp.strategy import FedAvg

from fedlayers.flower.strategy_contract import Declared


class Local(Declared, FedAvg):
    """Leaves the global model as it was at the start; the clients keep their own.

    Args:
        **flower: arguments of Flower's FedAvg (sampling fractions, the key of the weights).
    """

    # The global model never changes: there is nothing to test or to keep of it after round 0.
    has_global_model: ClassVar[bool] = False

    def __init__(self, **flower: Any) -> None:
        super().__init__(**flower)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return no weights, and the clients' mean training metrics."""
        valid, _ = self._check_and_log_replies(replies, is_train=True)
        contents = [message.content for message in valid]
        return None, self.train_metrics_aggr_fn(contents, self.weighted_by_key) if contents else None
