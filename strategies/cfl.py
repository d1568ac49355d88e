"""CFL's server: starts as FedAvg and splits a cluster in two where its clients pull in different directions.

References:
    Sattler, Müller & Samek 2020, Clustered Federated Learning: Model-Agnostic Distributed Multi-Task Optimization Under
    Privacy Constraints, IEEE TNNLS (arXiv 1910.01991).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from flwr.app import Message, MetricRecord

from fedlayers.core.checks import check, not_negative
from fedlayers.flower.adapter import number, records_of
from metrics.clusters.linkage import linkage_partitions
from strategies.cluster_models import ClusterModels, node_of


class CFL(ClusterModels):
    """Averages within clusters, one at first, and splits a cluster where its training has come to a stop.

    With Δ_i the update of client i, p_i its share of the cluster's examples and α_ij the cosine of Δ_i and Δ_j, a
    cluster is split in the two parts that have the smallest α_cross = max α_ij between them if

    - ‖Σ p_i Δ_i‖ < ε₁: together its clients move no more,
    - max ‖Δ_i‖ > ε₂: some of them alone still would,
    - √((1 − α_cross) / 2) > γ: the parts are further apart than chance puts clients of the same distribution.

    The norms depend on the model and on local training: look at a FedAvg run's ``update_norm`` first. All clients must
    train in every round; in a round in which one of a cluster's clients fails, the cluster is not split.

    Args:
        eps1: ε₁ ≥ 0; 0 never splits, which is FedAvg.
        eps2: ε₂ ≥ 0.
        gamma: γ in [0, 1].
        fraction_train: the share of clients that train, 1.
        **flower: other arguments of Flower's FedAvg.
    """

    def __init__(
        self, eps1: float = 0.4, eps2: float = 1.6, gamma: float = 0.5, fraction_train: float = 1.0, **flower: Any
    ) -> None:
        check(not_negative(eps1), "algorithm.eps1", "0 or more (0 is FedAvg)", eps1)
        check(not_negative(eps2), "algorithm.eps2", "0 or more", eps2)
        check(0 <= gamma <= 1, "algorithm.gamma", "in [0, 1]", gamma)
        why = "it compares the updates of all clients of a round"
        check(fraction_train == 1, "fraction", "1 with algorithm=cfl", fraction_train, why)
        super().__init__(fraction_train=fraction_train, **flower)
        self.eps1 = eps1
        self.eps2 = eps2
        self.gamma = gamma

    def assign(self, server_round: int, replies: Sequence[Message]) -> None:
        """Put all clients of the first round in one cluster, and split the clusters that are ready."""
        if not self.clusters:
            self.clusters = dict.fromkeys(self.blocks, self.new_cluster())
            self.models = dict.fromkeys(self.clusters.values(), self.current)
        replied = {node_of(reply): reply for reply in replies}
        for cluster in dict.fromkeys(self.clusters.values()):
            members = [node for node, own in self.clusters.items() if own == cluster]
            if len(members) > 1 and replied.keys() >= set(members):
                self._split(members, [replied[node] for node in members])

    def _split(self, members: Sequence[int], replies: Sequence[Message]) -> None:
        """Split a cluster if the three conditions hold; the part without its first member gets a new name."""
        weights = np.array(
            [number(records_of(r.content, MetricRecord)["metrics"][self.weighted_by_key]) for r in replies]
        )
        second = split(inner_products(self.updates(replies)), weights / weights.sum(), self.eps1, self.eps2, self.gamma)
        if second is not None:
            name, start = self.new_cluster(), self.models[self.clusters[members[0]]]
            self.models[name] = start
            self.clusters |= {members[place]: name for place in second}


def split(products: np.ndarray, shares: np.ndarray, eps1: float, eps2: float, gamma: float) -> list[int] | None:
    """Return the members that leave a cluster, those of the part without the first one; None if nobody does.

    Args:
        products: inner products of the updates, shape (n, n), n ≥ 2.
        shares: p_i, shape (n,), summing to 1.
        eps1: ε₁, see :class:`CFL`.
        eps2: ε₂.
        gamma: γ.
    """
    squares = np.diag(products)
    together, most = math.sqrt(max(shares @ products @ shares, 0.0)), math.sqrt(squares.max())
    if not (together < eps1 and most > eps2 and squares.min() > 0):
        return None
    cosines = np.clip(products / np.sqrt(np.outer(squares, squares)), -1, 1)
    second = bipartition(cosines)
    across = cosines[second][:, ~second].max()
    return np.flatnonzero(second).tolist() if math.sqrt((1 - across) / 2) > gamma else None


def bipartition(cosines: np.ndarray) -> np.ndarray:
    """Return the bipartition whose largest cosine between parts is smallest: True for members apart from the first.

    That is single linkage stopped at two clusters: the weakest link of the maximum spanning tree is cut.

    Args:
        cosines: shape (n, n), symmetric, n ≥ 2.
    """
    apart: np.ndarray = linkage_partitions(1 - cosines, 2, "single")[2] == 1
    return apart


def inner_products(updates: Sequence[dict[str, np.ndarray]]) -> np.ndarray:
    """Return the inner products of all updates in the arrays that all have, shape (n, n), float64."""
    total = np.zeros((len(updates), len(updates)))
    for name in (name for name in updates[0] if all(name in update for update in updates)):
        rows = np.stack([update[name].ravel() for update in updates])
        total += rows @ rows.T
    return total
