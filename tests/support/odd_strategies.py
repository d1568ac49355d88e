"""Strategies for tests, named by ``_target_``."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp.strategy import FedAvg as FlowerFedAvg
from flwr.serverapp.strategy import Strategy

from fedlayers.core.records import Record, Row
from fedlayers.flower.adapter import Grid
from fedlayers.flower.strategy_contract import Declared
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


class Observing(FedAvg):
    """Takes shorter steps the larger the clients' losses are, and writes down what it was shown."""

    def __init__(
        self, observes: Sequence[str] = ("training_loss", "loss", "drift", "update_norm"), **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self.server_lr, self.observes = 0.9, tuple(observes)
        # Round, moment, owners, metrics and sum of values of every call.
        self.calls: list[list[Any]] = []

    def observe(self, rows: Sequence[Row]) -> None:
        """Set the step from the training losses of the round whose replies are aggregated next."""
        records = [row for row in rows if isinstance(row, Record)]
        losses = [row.value for row in records if row.metric == "training_loss"]
        self.server_lr = 1 / (1 + sum(losses) / len(losses)) if losses else self.server_lr
        places = {(row.round, row.moment) for row in rows}
        assert len(places) == 1 and all(row.step is None or row.step > 0 for row in records)
        owners, metrics = sorted({str(row.owner) for row in records}), sorted({row.metric for row in records})
        self.calls.append([*places.pop(), owners, metrics, sum(row.value for row in records)])


class Wrapping(Strategy):
    """Wraps another strategy and tells nobody."""

    def __init__(self, strategy: Strategy) -> None:
        self.inner = strategy

    configure_train = configure_evaluate = aggregate_train = aggregate_evaluate = summary = None  # type: ignore[assignment]


class DeclaredWrapping(Declared, Wrapping):
    """Wraps another strategy and says so."""

    def wrapped(self) -> Strategy:
        """Return what it wraps."""
        return self.inner
