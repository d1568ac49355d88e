"""Strategies for tests, named by ``_target_``."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp.strategy import FedAvg as FlowerFedAvg

from fedlayers.flower.adapter import Grid
from strategies.fedavg import FedAvg


class Forgetful(FedAvg):
    """Keeps something that cannot be saved."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.memory = {1, 2, 3}


class Sleeper(FedAvg):
    """From a round on waits for what never comes, in a loop of its own or for more nodes than there are."""

    def __init__(self, server_round: int, asks: bool, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.server_round, self.asks = server_round, asks

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Wait, or sample clients."""
        while server_round >= self.server_round and (not self.asks or len(list(grid.get_node_ids())) < 99):
            time.sleep(0.05)
        return super().configure_train(server_round, arrays, config, grid)


class Asking(FedAvg):
    """Asks its clients which partition they hold before every round."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask, then sample clients."""
        config_of_question = ConfigRecord({**config, "moment": "after_aggregate"})
        questions = [
            Message(RecordDict({"config": config_of_question}), node, MessageType.QUERY) for node in grid.get_node_ids()
        ]
        assert len(list(grid.send_and_receive(questions))) == len(questions)
        return super().configure_train(server_round, arrays, config, grid)


class Undeclared(FlowerFedAvg):
    """Says that it has no global model to nobody who asks."""

    has_global_model = False


class Telling(FedAvg):
    """Tells its clients things from a round on, and sends them another record with numbers of that name."""

    def __init__(
        self, told: Mapping[str, Any], server_round: int = 1, record: str | None = None, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self.told, self.server_round, self.record = dict(told), server_round, record

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Sample clients and tell them."""
        if server_round >= self.server_round:
            config.update(self.told)
        messages = list(super().configure_train(server_round, arrays, config, grid))
        for message in messages:
            if self.record is not None:
                message.content[self.record] = ArrayRecord({"numbers": Array(np.arange(3.0))})
        return messages


class Forgetting(FedAvg):
    """Sends a configuration of its own."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Sample clients and tell them the round only."""
        return super().configure_train(server_round, arrays, ConfigRecord({}), grid)
