"""What servers with a model for each cluster of clients share: who is sent which model, and means within clusters."""

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from fedlayers.core.quantities import Facts
from fedlayers.core.records import Record
from fedlayers.flower.adapter import records_of
from fedlayers.flower.arrays import decode, encode
from fedlayers.flower.strategy_contract import Declared
from fedlayers.flower.sums import averaged, block_of

Weights = Mapping[str, np.ndarray]


class ClusterModels(Declared, FedAvg):
    """Averages within clusters of clients; subclasses say in :meth:`assign` who is in which.

    Clients are sampled as in Flower's FedAvg. A client that is in a cluster is sent the cluster's model, any other one
    the global model. After training every cluster with members among the clients that trained gets their weighted mean;
    the others keep their model. The global model is the weighted mean of all clients that trained. With one cluster all
    this is FedAvg, bit for bit: sums are taken in the same order.

    Args:
        **flower: arguments of Flower's FedAvg (sampling fractions, the key of the weights).
    """

    facts = (Facts("cluster", "1", 0.0, math.inf, "neutral", "numbered as they appear"),)
    one_model: ClassVar[bool] = False

    def __init__(self, **flower: Any) -> None:
        super().__init__(**flower)
        # Node id -> cluster, and cluster -> its weights.
        self.clusters: dict[int, int] = {}
        self.models: dict[int, dict[str, np.ndarray]] = {}
        # How many clusters there have been: names are not used again.
        self.named = 0
        # Of the round that is under way: the global model, and in which order replies are summed.
        self.current: dict[str, np.ndarray] = {}
        self.blocks: dict[int, int] = {}

    @abstractmethod
    def assign(self, server_round: int, replies: Sequence[Message]) -> None:
        """Change ``clusters`` after training, before the means are taken; a new cluster needs no model yet.

        Args:
            server_round: the round.
            replies: at least one, without errors, by client.
        """

    def weights_for(self, node: int) -> Weights:
        """Return the weights that a node is sent in the round that is under way."""
        cluster = self.clusters.get(node)
        return self.current if cluster is None else self.models[cluster]

    def contents(self, nodes: Iterable[int], arrays: ArrayRecord, config: ConfigRecord) -> dict[int, RecordDict]:
        """Return what each node is sent, one content for all nodes of a cluster, so that engines store it once.

        Args:
            nodes: node ids.
            arrays: the global model.
            config: what goes to every client beside the weights.
        """
        self.current = {name: decode(array) for name, array in arrays.items()}
        # With the weights, so that none is freed and another one gets its id.
        made: dict[int, tuple[Weights, RecordDict]] = {id(self.current): (self.current, self._content(arrays, config))}
        found = {}
        for node in nodes:
            weights = self.weights_for(node)
            if id(weights) not in made:
                record = ArrayRecord({name: encode(weights[name]) for name in arrays})
                made[id(weights)] = weights, self._content(record, config)
            found[node] = made[id(weights)][1]
        return found

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Sample clients and send each its model."""
        messages = self._own(super().configure_train(server_round, arrays, config, grid), arrays, config)
        self.blocks = block_of(messages)
        return messages

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Sample clients and send each its model."""
        messages = self._own(super().configure_evaluate(server_round, arrays, config, grid), arrays, config)
        self.current = {}
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Form clusters, take their means, and return the mean of all clients with their mean training metrics."""
        valid = [reply for reply in replies if reply.has_content()]
        if not valid:
            return None, None
        self.assign(server_round, valid)
        members: dict[int, list[Message]] = {}
        for reply in valid:
            cluster = self.clusters.get(node_of(reply))
            if cluster is not None:
                members.setdefault(cluster, []).append(reply)
        means = {c: self._mean(group, self.models.get(c, self.current)) for c, group in members.items()}
        kept = {cluster: self.models[cluster] for cluster in self._in_use() - means.keys()}
        self.models = {cluster: (means | kept)[cluster] for cluster in sorted(means.keys() | kept.keys())}
        arrays = ArrayRecord({name: encode(array) for name, array in self._mean(valid, self.current).items()})
        return arrays, self.train_metrics_aggr_fn([reply.content for reply in valid], self.weighted_by_key)

    def rows(self) -> list[Record]:
        """Return the cluster of every client that is in one."""
        return [
            Record("cluster", float(cluster), client=node - 1, owner="server")
            for node, cluster in sorted(self.clusters.items())
        ]

    def made_for(self, node: int) -> Weights | None:
        """Return the model of a node's cluster, None if it is in none."""
        own = self.weights_for(node)
        return None if own is self.current else own

    def new_cluster(self) -> int:
        """Return the number of a new cluster: the clusters of a run are numbered from 0 as they appear."""
        self.named += 1
        return self.named - 1

    def updates(self, replies: Sequence[Message]) -> list[dict[str, np.ndarray]]:
        """Return for each reply the difference between the weights that came back and those that were sent, float64."""
        return [difference(weights_of(reply), self.weights_for(node_of(reply))) for reply in replies]

    def _in_use(self) -> set[int]:
        """Return the clusters whose models are kept."""
        return set(self.clusters.values())

    def _mean(self, replies: Sequence[Message], before: Weights) -> dict[str, np.ndarray]:
        """Return the weighted mean of replies, in the precision of the model; what nobody sent stays as it was."""
        [mean] = averaged(replies, self.blocks, self.weighted_by_key)
        found = weights_of(mean)
        return {name: np.asarray(found.get(name, own), dtype=own.dtype) for name, own in before.items()}

    def _own(self, messages: Iterable[Message], arrays: ArrayRecord, config: ConfigRecord) -> list[Message]:
        """Return the messages with what each node is sent in the place of what all were sent."""
        kinds = {message.metadata.dst_node_id: message.metadata.message_type for message in messages}
        contents = self.contents(kinds, arrays, config)
        return [Message(contents[node], node, kind) for node, kind in kinds.items()]

    def _content(self, arrays: ArrayRecord, config: ConfigRecord) -> RecordDict:
        return RecordDict({self.arrayrecord_key: arrays, self.configrecord_key: config})


def node_of(reply: Message) -> int:
    """Return the id of the node that sent a reply."""
    return int(reply.metadata.src_node_id)


def weights_of(reply: Message) -> dict[str, np.ndarray]:
    """Return the weights that a reply brought, to be read only."""
    [record] = records_of(reply.content, ArrayRecord).values()
    return {name: decode(array) for name, array in record.items()}


def difference(weights: Weights, others: Weights) -> dict[str, np.ndarray]:
    """Return the difference of two sets of weights, by name, float64."""
    return {name: array.astype(np.float64) - others[name] for name, array in weights.items()}
