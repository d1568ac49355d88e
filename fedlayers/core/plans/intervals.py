"""Layers are averaged in intervals of their own, the longer the less clients disagree on them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedlayers.core.checks import count
from fedlayers.core.layers import Layer, total
from fedlayers.core.plans.plan import FederationPlan
from fedlayers.core.plans.rule import PlanRule, TrainedRound
from fedlayers.core.quantities import Facts
from fedlayers.core.records import Record

_LEE = "Lee et al. 2023, AAAI (arXiv 2110.10302), {}"


class LayerIntervals(PlanRule):
    """Layer l is averaged in every τ_l-th round; in between each client goes on from its own weights of it.

    At first τ_l = τ'. After every φ τ'-th round, in which all layers are averaged, the layers on which clients disagree
    least get τ_l = φ τ', the others τ'. FedLAMA, whose τ counts optimizer steps, here rounds; there clients are drawn
    for φ τ' steps at a time, here as ``fraction`` draws them: who was away gets what was averaged meanwhile. With φ = 1
    and τ' = 1 it is FedAvg, bit for bit.

    Args:
        interval: τ', in rounds, 1 or more.
        factor: φ, 1 or more.

    References:
        Lee, Zhang, Avestimehr 2023, Layer-wise Adaptive Model Aggregation for Scalable Federated Learning, AAAI (arXiv
        2110.10302), algorithms 1 and 2.
    """

    facts = (
        Facts("layer_discrepancy", "1", 0.0, float("inf"), "neutral", _LEE.format("equation 2")),
        Facts("layer_interval", "1", 1.0, float("inf"), "neutral", _LEE.format("algorithm 2, in rounds")),
    )

    def __init__(self, interval: int, factor: int) -> None:
        count("plan.rule.interval", interval)
        count("plan.rule.factor", factor, otherwise=" (1 is FedAvg)")
        self.interval, self.factor = interval, factor
        # Layer -> τ_l and d_l, once they were adjusted, and the round after which they were.
        self.intervals: dict[str, int] = {}
        self.discrepancies: dict[str, float] = {}
        self.adjusted = 0

    def holding(self, server_round: int, client: int) -> FederationPlan:
        """Return the plan that shares the layers whose turn it is; before the first round all."""
        due = [layer for layer in self.layers if server_round % self.intervals.get(layer.name, self.interval) == 0]
        return FederationPlan.sharing(due, self.layers, "layers whose interval ends", server_round)

    def needs_weights(self, server_round: int) -> bool:
        """Say whether intervals are adjusted after a round: where all layers are averaged, and there is a choice."""
        return self.factor > 1 and server_round % (self.factor * self.interval) == 0

    def learn(self, trained: TrainedRound) -> None:
        """Adjust the intervals."""
        before = [self.intervals.get(layer.name, self.interval) for layer in self.layers]
        found = discrepancies(trained.weights, trained.shares, self.layers, before)
        longer = least_critical(found, [total([layer]) for layer in self.layers])
        names = [layer.name for layer in self.layers]
        self.discrepancies = dict(zip(names, found.tolist(), strict=True))
        lengths = np.where(longer, self.factor * self.interval, self.interval)
        self.intervals, self.adjusted = dict(zip(names, lengths.tolist(), strict=True)), trained.number

    def rows(self, server_round: int) -> list[Record]:
        """Return d_l and the new τ_l after a round in which they were adjusted."""
        if server_round != self.adjusted:
            return []
        kinds = (("layer_discrepancy", self.discrepancies), ("layer_interval", self.intervals))
        return [
            Record(name, float(values[x.name]), layer=x.name, layer_index=x.index, owner="server")
            for name, values in kinds
            for x in self.layers
        ]

    def state(self) -> dict[str, Any]:
        """Return the intervals."""
        return {"intervals": self.intervals}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back the intervals."""
        self.intervals = dict(state["intervals"])


def discrepancies(
    weights: Mapping[int, Mapping[str, np.ndarray]],
    shares: Mapping[int, float],
    layers: Sequence[Layer],
    intervals: Sequence[int],
) -> np.ndarray:
    """Return how much clients disagree on each layer, for each number that it holds and each round.

    d_l = Σ_k p_k ‖u_l − x_{k,l}‖² / (τ_l dim u_l): x_{k,l} client k's weights, u_l = Σ_k p_k x_{k,l} their mean, τ_l
    the rounds since they were averaged.

    Args:
        weights: client -> name -> weights.
        shares: client -> p_k, summing to 1.
        layers: the layers.
        intervals: τ_l of each layer.

    Returns:
        d, shape (layers,), in double precision.

    Examples:
        >>> from torch import nn
        >>> from fedlayers.core.layers import layers_of
        >>> layers = layers_of(nn.Sequential(nn.Linear(1, 1, bias=False)))
        >>> weights = {0: {"0.weight": np.array([[1.0]])}, 1: {"0.weight": np.array([[5.0]])}}
        >>> discrepancies(weights, {0: 0.75, 1: 0.25}, layers, [2]).tolist()
        [1.5]
    """
    found = []
    for layer, interval in zip(layers, intervals, strict=True):
        squares = 0.0
        for name in layer.names:
            own = {client: np.asarray(arrays[name], np.float64) for client, arrays in sorted(weights.items())}
            mean = sum(shares[client] * array for client, array in own.items())
            squares += sum(shares[client] * float(np.square(array - mean).sum()) for client, array in own.items())
        found.append(squares / (interval * max(1, total([layer]))))
    return np.array(found)


def least_critical(discrepancy: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Return which layers may be averaged less often, in the order of the layers.

    With layers sorted by d, least first: δ_l = Σ_{i≤l} d_i dim_i / Σ_i d_i dim_i is their share of all disagreement,
    λ_l = Σ_{i≤l} dim_i / Σ_i dim_i that of all communication. Layers are taken while δ_l < 1 − λ_l, to where the two
    curves cross. The paper's text and figure 1 say so; its algorithm 2 prints δ_l < λ_l, which holds for nearly all
    layers, however much clients disagree on them. Its code takes one layer more.

    Args:
        discrepancy: d, shape (layers,), 0 or more.
        sizes: dim, how many numbers each layer holds.

    Returns:
        Truth values, shape (layers,).

    Examples:
        >>> least_critical(np.array([4.0, 1.0, 1.0]), [10, 50, 40]).tolist()
        [False, True, False]
    """
    dims = np.asarray(sizes, np.float64)
    order = np.argsort(discrepancy, kind="stable")
    parts = (discrepancy * dims)[order]
    all_of_it = parts.sum()
    delta = parts.cumsum() / all_of_it if all_of_it > 0 else np.zeros(len(parts))
    found = np.zeros(len(dims), dtype=bool)
    found[order] = delta < 1 - dims[order].cumsum() / dims.sum()
    return found
