"""The server of ``centralized``: one participant trains on everybody's examples."""

from collections.abc import Iterable
from typing import ClassVar

from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid

from strategies.fedavg import FedAvg


class Centralized(FedAvg):
    """Sends training to a single node, whose client trains on the pooled examples; evaluation goes to all clients.

    With one client it is FedAvg. The arguments are those of :class:`strategies.fedavg.FedAvg`.
    """

    pooled: ClassVar[bool] = True

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return one message, to the first node."""
        super().configure_train(server_round, arrays, config, grid)
        content = RecordDict({self.arrayrecord_key: arrays, self.configrecord_key: config})
        return [Message(content, min(grid.get_node_ids()), MessageType.TRAIN)]
