"""How large a client's weights are, how far training moved them, and how the clients' updates agree."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fedlayers.core.layers import Layer
from fedlayers.core.records import Record, Row
from metrics.base import NO_GLOBAL_MODEL, SHARED, ClientView, Facts, Measurement, Metric, ServerView, at, measured
from metrics.statistics.weight_statistics import (
    Moments,
    b_dissimilarity,
    cosine,
    merged,
    moments,
    squared_norm,
    update_products,
)

_ELHUSSEIN = "Elhussein & Gürsoy 2025, PLayer-FL, arXiv 2502.08829"
_LI = "Li et al. 2020, Federated Optimization in Heterogeneous Networks, arXiv 1812.06127"
_KARIMIREDDY = "Karimireddy et al. 2020, SCAFFOLD, arXiv 1910.06378"


class Weights(Metric):
    """Weight statistics of each client, and its update against the others', per layer and for the whole model.

    Client half, at any moment and inside local training, with w all parameters of a layer and v those that are no
    biases (roles other than ``bias`` and ``norm_bias``), N numbers in v:

    - norm: ‖w‖₂.
    - mean_abs_weight: Σ|v| / N.
    - weight_variance: Σ(v − v̄)² / (N − 1).
    - share_small: share of v with |v| < t; variant ``t=0.01``.
    - share_small_relative: share of v with |v| < r · rms, rms = √(Σv²/N) of the layer; variant ``r=0.1``. For the
      whole model each weight is still compared with its own layer's rms.
    - update_norm: ‖w − w_start‖₂, inside local training and after it only, w_start the weights that training started
      from: those received, unless the client keeps its own.

    Server half, at ``after_local``, with Δ_k = w_k − w_start,k of client k, p_k its weight in the server's mean (its
    share of the training examples, or 1 / K with ``weighting=uniform``), Δ̄ = Σ p_k Δ_k over all clients:

    - drift: ‖w_k − w_after,k‖₂, the distance to the new global weights, or to those that were made for the client
      where the server keeps several models (owner: the client); missing if the server makes none.
    - update_cosine: ⟨Δ_k, Δ̄⟩ / (‖Δ_k‖‖Δ̄‖) (owner: the client); missing if an update is zero.
    - b_dissimilarity: √(Σ p_k‖Δ_k‖² / ‖Δ̄‖²) ≥ 1, FedProx' B with updates in place of gradients (owner: the
      server, n = clients); missing if the mean update is zero.

    Layers that clients keep to themselves are missing in the server half; its whole-model values then cover the
    layers that were sent, as variant ``shared``.

    Args:
        thresholds: absolute thresholds t > 0.
        relative_thresholds: relative thresholds r > 0.
        rounds, moments, steps: see :class:`metrics.base.Metric`.
    """

    facts = (
        Facts("norm", "1", 0.0, math.inf, "neutral", _ELHUSSEIN),
        Facts("mean_abs_weight", "1", 0.0, math.inf, "neutral", _ELHUSSEIN),
        Facts("weight_variance", "1", 0.0, math.inf, "neutral", _ELHUSSEIN, minimum_n=2),
        Facts("share_small", "1", 0.0, 1.0, "neutral", _ELHUSSEIN),
        Facts("share_small_relative", "1", 0.0, 1.0, "neutral", _ELHUSSEIN),
        Facts("update_norm", "1", 0.0, math.inf, "neutral", _KARIMIREDDY),
        Facts("drift", "1", 0.0, math.inf, "neutral", _KARIMIREDDY),
        Facts("update_cosine", "1", -1.0, 1.0, "higher", _KARIMIREDDY),
        Facts("b_dissimilarity", "1", 1.0, math.inf, "lower", _LI),
    )

    def __init__(
        self,
        thresholds: Sequence[float] = (0.01, 0.05, 0.1),
        relative_thresholds: Sequence[float] = (0.01, 0.1),
        rounds: Sequence[str | int] = ("first", "last"),
        moments: Sequence[str] = ("after_local",),
        steps: Sequence[str | int] = (),
    ) -> None:
        super().__init__(rounds, moments, steps)
        for name, values in (("thresholds", thresholds), ("relative_thresholds", relative_thresholds)):
            for value in values:
                if not (math.isfinite(value) and value > 0):
                    raise ValueError(f"{name} must be positive numbers, got {value!r}")
        self.thresholds = tuple(thresholds)
        self.relative_thresholds = tuple(relative_thresholds)

    def client(self, view: ClientView) -> Measurement:
        """Measure one client's weights and how far training moved them."""
        start = view.reference if view.moment == "after_local" else None
        return Measurement(self._of_one(view.layers, view.parameters, start))

    def step(
        self, layers: Sequence[Layer], parameters: Mapping[str, Tensor], reference: Mapping[str, Tensor]
    ) -> list[Row]:
        """Measure the same inside local training."""
        return self._of_one(layers, parameters, reference)

    def _of_one(
        self, layers: Sequence[Layer], parameters: Mapping[str, Tensor], start: Mapping[str, Tensor] | None
    ) -> list[Row]:
        rows: list[Row] = []
        parts, small = [], []
        for layer in layers:
            values = [parameters[p.name] for p in layer.weights]
            part = moments(values)
            sizes = [value.abs() for value in values]
            limits = [*self.thresholds, *(ratio * part.rms for ratio in self.relative_thresholds)]
            counts = [sum(int(torch.count_nonzero(size < limit)) for size in sizes) for limit in limits]
            rows += self._shares(layer, part, counts)
            parts.append(part)
            small.append(counts)
        totals = torch.tensor(small).reshape(len(parts), -1).sum(0).tolist()
        rows += self._shares(None, merged(parts), totals)
        return rows + _norms(layers, parameters, start)

    def server(self, view: ServerView) -> Measurement:
        """Compare the clients' updates with their mean and with the new global weights."""
        clients = sorted(view.weights)
        if not clients:
            return Measurement()
        kept = view.kept_layers
        shared = [layer for layer in view.layers if layer not in kept]
        senders = {layer: view.senders(layer) for layer in kept}
        lost = {layer: why for layer, why in kept.items() if not senders[layer]}
        none = "no layer was sent by all clients" if len(lost) < len(kept) else "the clients keep all layers"
        rows: list[Row] = [
            measured(name, math.nan, why, **at(layer))
            for layer, why in [*lost.items(), *([] if shared else [(None, none)])]
            for name in ("drift", "update_cosine", "b_dissimilarity")
        ]
        if shared:
            rows += _update_rows(view, clients, shared, SHARED if kept else None)
        for layer in kept.keys() - lost.keys():
            rows += [row for row in _update_rows(view, senders[layer], [layer], None) if row.layer is not None]
            rows += [
                measured(name, math.nan, kept[layer], owner="client", client=client, **at(layer))
                for client in clients
                for name in ("drift", "update_cosine")
                if client not in senders[layer]
            ]
        return Measurement(rows)

    def _shares(self, layer: Layer | None, part: Moments, counts: Sequence[int]) -> list[Row]:
        empty = "no parameters that are not biases"
        values = (part.absolute, part.variance) if part.count else (math.nan, math.nan)
        single = empty if not part.count else "one number has no variance" if part.count == 1 else "not finite"
        rows: list[Row] = [
            measured("mean_abs_weight", values[0], empty if not part.count else "not finite", **at(layer)),
            measured("weight_variance", values[1], single, **at(layer)),
        ]
        names = [("share_small", f"t={t:g}") for t in self.thresholds]
        names += [("share_small_relative", f"r={r:g}") for r in self.relative_thresholds]
        usable = part.count > 0 and math.isfinite(part.rms)
        for (name, variant), count in zip(names, counts, strict=True):
            undefined = not usable or (name == "share_small_relative" and part.rms == 0)
            share = math.nan if undefined else count / part.count
            reason = empty if not part.count else "all weights are zero or not finite"
            rows.append(measured(name, share, reason, variant=variant, **at(layer)))
        return rows


def _norms(layers: Sequence[Layer], parameters: Mapping[str, Tensor], start: Mapping[str, Tensor] | None) -> list[Row]:
    """Return the norm and, given where training started, the update norm of every layer and the whole model."""
    quantities = {"norm": [squared_norm([parameters[name] for name in layer.names]) for layer in layers]}
    if start is not None:
        quantities["update_norm"] = [
            squared_norm([parameters[name] - start[name] for name in layer.names]) for layer in layers
        ]
    rows: list[Row] = []
    for name, squares in quantities.items():
        for layer, square in zip([*layers, None], [*squares, sum(squares)], strict=True):
            rows.append(measured(name, math.sqrt(square), "not finite", **at(layer)))
    return rows


def _update_rows(
    view: ServerView, clients: Sequence[int], layers: Sequence[Layer], variant: str | None
) -> list[Record]:
    """Return drift, update cosine and dissimilarity of the given layers and of all of them together."""
    shares = view.shares(clients)
    weights = [view.weights[client] for client in clients]
    made = [view.made_for(client) or {} for client in clients] if view.has_global_model else None
    starts = [view.start_of(client) for client in clients]
    products = update_products(weights, starts, made, shares, [layer.names for layer in layers])
    squares, with_mean = _with_total(products.squares), _with_total(products.with_mean)
    drifts, mean_squares = _with_total(products.drifts), _with_total(products.mean_squares)
    rows: list[Record] = []
    for index, layer in enumerate([*layers, None]):
        address = {**at(layer), "variant": variant if layer is None else None}
        mean_square = float(mean_squares[index])
        reason = "the mean update is zero" if mean_square == 0 else "not finite"
        b = b_dissimilarity(products.shares, squares[:, index], mean_square)
        rows.append(measured("b_dissimilarity", b, reason, owner="server", n=len(clients), **address))
        for k, client in enumerate(clients):
            own = {**address, "owner": "client", "client": client}
            value = cosine(float(with_mean[k, index]), float(squares[k, index]), mean_square)
            why = "the client's update is zero" if squares[k, index] == 0 else reason
            lost = "not finite" if view.has_global_model else NO_GLOBAL_MODEL
            rows.append(measured("drift", math.sqrt(float(drifts[k, index])), lost, **own))
            rows.append(measured("update_cosine", value, why, **own))
    return rows


def _with_total(values: Tensor) -> Tensor:
    """Append the sum over layers, the last axis, as one more layer: the whole model."""
    return torch.cat([values, values.sum(-1, keepdim=True)], -1)
