"""Clustered federated averaging: clients whose updates are alike share a model.

References:
    Sattler et al. 2020, arXiv 1910.01991, and Briggs, Fan & Andras 2020, arXiv 2004.11791 (clusters of updates);
    Blondel et al. 2008, Fast unfolding of communities in large networks (Louvain).
"""

import logging
import math
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from flwr.app import Message
from scipy.optimize import linear_sum_assignment

from fedlayers.core.checks import check, not_negative
from fedlayers.core.layers import Layer
from metrics.distances.weights.participant import Model, model_of
from strategies.client_clusters import clustering, labels_of
from strategies.client_distances import metric_named, model_from_names, symmetric_distances
from strategies.cluster_models import ClusterModels, Weights, difference, node_of, weights_of

logger = logging.getLogger(__name__)

# Of fewer clients nobody can say how many clusters they are.
_FEWEST = 4
# The weighted start mixes the models of so many clusters.
_NEAREST = 3


class Clustered(ClusterModels):
    """Finds clusters of clients in their distances, and averages within each.

    Until round ``first_round`` it is FedAvg. In that round and every ``every`` rounds after it, the clients that
    trained are clustered; a new cluster is called as the old one with which it shares the most clients, if it shares
    any. A client that did not train keeps its cluster. All keep theirs where a distance cannot be had (a client
    diverged), and where fewer than four trained unless ``number`` says how many clusters there are.

    An update is the difference of a client's weights after training and the global model before it, also for clients
    that were sent another one: from models that fit them, clients no longer move in directions that tell groups apart.

    A client in no cluster that trains between two clusterings is compared in the same way with the clusters' models θ_c
    before the round's means. By ``start``:

    - ``nearest``: it joins the nearest cluster;
    - ``weighted``: until the next clustering it starts from Σ s_c θ_c over the three nearest clusters, s_c ∝
      exp(−β d_c), and enters no cluster's mean;
    - ``global``: until the next clustering it starts from the global model.

    Args:
        every: rounds between clusterings, 1 or more.
        first_round: the first clustering, 1 or more.
        distance: a metric of :mod:`metrics.distances`, by name.
        of: what distances are between, ``updates`` or ``weights``.
        method: ``louvain``, ``agglomerative`` or ``spectral``, see :func:`strategies.client_clusters.clustering`.
        number: how many clusters; None: as many as there are.
        start: ``nearest``, ``weighted`` or ``global``.
        beta: β ≥ 0 of the weighted start.
        **flower: arguments of Flower's FedAvg.
    """

    def __init__(
        self,
        every: int = 1,
        first_round: int = 1,
        distance: str = "model_cosine_dst",
        of: str = "updates",
        method: str = "louvain",
        number: int | None = None,
        start: str = "nearest",
        beta: float = 1.0,
        **flower: Any,
    ) -> None:
        check(every >= 1, "algorithm.every", "1 or more", every)
        check(first_round >= 1, "algorithm.first_round", "1 or more", first_round)
        check(of in ("updates", "weights"), "algorithm.of", "updates or weights", of)
        check(start in ("nearest", "weighted", "global"), "algorithm.start", "nearest, weighted or global", start)
        check(not_negative(beta), "algorithm.beta", "0 or more", beta)
        metric_named(distance)
        clustering(method, number)
        super().__init__(**flower)
        self.every = every
        self.first_round = first_round
        self.distance = distance
        self.of = of
        self.method = method
        self.number = number
        self.newcomers = start
        self.beta = beta
        self.as_model: Callable[[Weights], Model] = model_from_names
        # Node id -> cluster -> share, of clients that start from a mixture.
        self.mixtures: dict[int, dict[int, float]] = {}

    def know_layers(self, layers: Sequence[Layer]) -> None:
        """Take weights for those of these layers from now on, with their roles and axes."""
        self.as_model = partial(_model_of_sent, layers)

    def weights_for(self, node: int) -> Weights:
        """Return the weights that a node is sent: its cluster's, a mixture, or the global ones."""
        shares = self.mixtures.get(node)
        return super().weights_for(node) if shares is None else mixed(self.models, shares)

    def assign(self, server_round: int, replies: Sequence[Message]) -> None:
        """Cluster the clients anew if that is due; else give those that are in no cluster yet their start."""
        since = server_round - self.first_round
        enough = self.number is not None or len(replies) >= _FEWEST
        if since >= 0 and since % self.every == 0 and enough:
            self._cluster(server_round, replies)
        elif self.clusters and self.newcomers != "global":
            self._welcome([reply for reply in replies if node_of(reply) not in self.clusters])

    def _cluster(self, server_round: int, replies: Sequence[Message]) -> None:
        distances = self._distances([weights_of(reply) for reply in replies])
        if not np.isfinite(distances).all():
            logger.warning(f"round {server_round}: some distances between clients are not finite; clusters stay")
            return
        labels = labels_of(distances, self.method, self.number, random.getrandbits(32))
        nodes = [node_of(reply) for reply in replies]
        before = [self.clusters.get(node) for node in nodes]
        found = inherited(labels, before)
        names = {label: self.new_cluster() if old is None else old for label, old in found.items()}
        self.clusters |= {node: names[label] for node, label in zip(nodes, labels, strict=True)}
        self.mixtures = {}

    def _welcome(self, replies: Sequence[Message]) -> None:
        """Let clients that are in no cluster join the nearest, or start from the nearest three."""
        for reply in replies:
            distances = self._distances([weights_of(reply), *self.models.values()])[0, 1:]
            if not np.isfinite(distances).all():
                continue
            node, names = node_of(reply), list(self.models)
            if self.newcomers == "nearest":
                self.clusters[node] = names[int(distances.argmin())]
            else:
                self.mixtures[node] = shares_of(dict(zip(names, distances.tolist(), strict=True)), self.beta)

    def _distances(self, models: Sequence[Weights]) -> np.ndarray:
        common = set.intersection(*map(set, models))
        if not common:
            return np.full((len(models), len(models)), np.nan)
        models = [{name: array for name, array in model.items() if name in common} for model in models]
        updates = [difference(model, self.current) for model in models]
        compared = updates if self.of == "updates" else models
        return symmetric_distances(self.distance, compared, updates, self.as_model)


def _model_of_sent(layers: Sequence[Layer], weights: Weights) -> Model:
    """Return the model that weights make, of those of the layers that they hold."""
    return model_of([layer for layer in layers if weights.keys() >= set(layer.names)], weights)


def inherited(labels: Sequence[int], before: Sequence[int | None]) -> dict[int, int | None]:
    """Return for each new cluster the old one whose name it takes, None for none.

    The names are dealt out such that as many clients as possible keep theirs.

    Args:
        labels: the new cluster of each client, shape (n,).
        before: its old one, None if it was in none.
    """
    new, old = sorted(set(labels)), sorted({name for name in before if name is not None})
    shared = np.array([[sum(pair == (n, o) for pair in zip(labels, before, strict=True)) for o in old] for n in new])
    found: dict[int, int | None] = dict.fromkeys(new)
    if old:
        for row, column in zip(*linear_sum_assignment(shared, maximize=True), strict=True):
            if shared[row, column]:
                found[new[row]] = old[column]
    return found


def shares_of(distances: Mapping[int, float], beta: float) -> dict[int, float]:
    """Return the shares of the three nearest clusters: proportional to exp(−β d), summing to 1.

    Args:
        distances: cluster -> d.
        beta: β ≥ 0.
    """
    nearest = sorted(distances, key=distances.__getitem__)[:_NEAREST]
    # From the nearest, so that the largest weight is 1 before they are normalised.
    weights = {cluster: math.exp(-beta * (distances[cluster] - distances[nearest[0]])) for cluster in nearest}
    return {cluster: weight / sum(weights.values()) for cluster, weight in weights.items()}


def mixed(models: Mapping[int, Weights], shares: Mapping[int, float]) -> dict[str, np.ndarray]:
    """Return the sum of models by their shares, in their own precision."""
    first = next(iter(models.values()))
    sums = {name: sum(share * models[c][name].astype(np.float64) for c, share in shares.items()) for name in first}
    return {name: np.asarray(total, dtype=first[name].dtype) for name, total in sums.items()}
