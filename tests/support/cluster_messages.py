"""Messages and a Grid for tests of the strategies that keep a model for each cluster of clients."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp.strategy import Strategy

from fedlayers.flower.adapter import Grid
from strategies.cluster_models import ClusterModels


class Nodes(Grid):
    """A Grid that only knows how many nodes there are, numbered from 1."""

    def __init__(self, count: int) -> None:
        self.count = count

    def get_node_ids(self) -> list[int]:
        return list(range(1, self.count + 1))

    def _unused(self, *_: Any, **__: Any) -> Any:
        raise AssertionError

    set_run = create_message = push_messages = pull_messages = send_and_receive = _unused
    run = property(_unused)


def weights(values: Sequence[float]) -> dict[str, np.ndarray]:
    """Return weights of float32 in two arrays: the first number, and all others."""
    first, *rest = values
    return {"b": np.array(first, np.float32), "a": np.array(rest, np.float32)}


def record(values: Sequence[float]) -> ArrayRecord:
    """Return the same in the form in which it travels."""
    return ArrayRecord({name: Array(array) for name, array in weights(values).items()})


def values_of(arrays: ArrayRecord | Mapping[str, np.ndarray] | None) -> list[float]:
    """Return the numbers that weights were made of."""
    assert arrays is not None and list(arrays) == ["b", "a"]
    plain = [array.numpy() if isinstance(array, Array) else array for array in arrays.values()]
    return [float(value) for array in plain for value in array.ravel()]


def reply(node: int, values: Sequence[float], examples: int = 1, **metrics: int) -> Message:
    """Return what a node answers."""
    sent = Message(RecordDict({}), node, MessageType.TRAIN)
    content: dict[str, Any] = {"num-examples": examples, "one": 1.0, "loss": 0.0, **metrics}
    return Message(RecordDict({"arrays": record(values), "metrics": MetricRecord(content)}), reply_to=sent)


def send(strategy: Strategy, start: Sequence[float], nodes: int, server_round: int = 1) -> dict[int, RecordDict]:
    """Begin a round and return what each node is sent."""
    messages = strategy.configure_train(server_round, record(start), ConfigRecord({}), Nodes(nodes))
    return {message.metadata.dst_node_id: message.content for message in messages}


def step(
    strategy: Strategy, start: Sequence[float], replies: Sequence[Message], nodes: int, server_round: int = 1
) -> list[float]:
    """Do a round in which some of the nodes answer, and return the new global weights."""
    send(strategy, start, nodes, server_round)
    return values_of(strategy.aggregate_train(server_round, replies)[0])


def models_of(strategy: ClusterModels) -> dict[int, list[float]]:
    """Return the numbers of every cluster's model."""
    return {cluster: values_of(model) for cluster, model in strategy.models.items()}
