"""IFCA's server: k models, of which every client trains the one that fits its examples best.

References:
    Ghosh, Chung, Yin & Ramchandran 2020, An Efficient Framework for Clustered Federated Learning, NeurIPS
    (arXiv 2006.04088), algorithm 1 with model averaging.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid

from fedlayers.core.checks import count
from fedlayers.core.seeding import numpy_generator
from fedlayers.flower.adapter import integer, records_of
from fedlayers.flower.arrays import decode, encode
from strategies.cluster_models import ClusterModels, Weights, node_of


class IFCA(ClusterModels):
    """Sends all k models to every client and averages those that come back for each model.

    Every array of a message holds the k models' arrays, shape (k, …). The client returns one model and, as the metric
    ``cluster``, which one it is. A model that nobody chose stays as it is. The first model starts as the run's initial
    model; in each other one the entries of every array are shuffled: another draw from the distribution that the layer
    was initialised with.

    Args:
        k: the number of models, 1 or more; 1 is FedAvg.
        **flower: arguments of Flower's FedAvg (sampling fractions, the key of the weights).
    """

    def __init__(self, k: int = 2, **flower: Any) -> None:
        count("algorithm.k", k, otherwise=" (1 is FedAvg)", most=1000)
        super().__init__(**flower)
        self.k = k

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Sample clients and send all models to each; before the first round make them."""
        messages = super().configure_train(server_round, arrays, config, grid)
        if self.models:
            return messages
        # The loop seeds Python's generator for this round; the sample is drawn already, so FedAvg has the same one.
        seed = random.getrandbits(63)
        first = {name: decode(array) for name, array in arrays.items()}
        names = [self.new_cluster() for _ in range(self.k)]
        self.models = {name: shuffled(first, seed, name) for name in names}
        return self._own(messages, arrays, config)

    def contents(self, nodes: Iterable[int], arrays: ArrayRecord, config: ConfigRecord) -> dict[int, RecordDict]:
        """Return what each node is sent: all models, for all nodes the same; before the first round the initial one."""
        self.current = {name: decode(array) for name, array in arrays.items()}
        models = list(self.models.values())
        if models:
            arrays = ArrayRecord({name: encode(np.stack([model[name] for model in models])) for name in arrays})
        return dict.fromkeys(nodes, self._content(arrays, config))

    def used(self, sent: Weights, metrics: Mapping[str, Any]) -> Weights:
        """Return the model that a client chose."""
        own = next(iter(self.models.values()), sent)
        if all(array.shape == own[name].shape for name, array in sent.items()):
            return sent
        return {name: array[integer(metrics["cluster"])] for name, array in sent.items()}

    def assign(self, server_round: int, replies: Sequence[Message]) -> None:
        """Write down which model each client chose."""
        for reply in replies:
            chosen = integer(records_of(reply.content, MetricRecord)["metrics"]["cluster"])
            self.clusters[node_of(reply)] = chosen

    def _in_use(self) -> set[int]:
        return set(self.models)


def shuffled(weights: Mapping[str, np.ndarray], seed: int, model: int) -> dict[str, np.ndarray]:
    """Return weights with the entries of every array in random order; those of model 0 as they are."""
    if model == 0:
        return dict(weights)
    generator = numpy_generator(seed, "ifca", client=model)
    return {name: generator.permutation(array.ravel()).reshape(array.shape) for name, array in weights.items()}
