"""How much the loss depends on each layer's weights, batch by batch, and the sum from the first layer on."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fedlayers.layers import Layer
from fedlayers.records import Row
from fedlayers.seeding import torch_generator
from metrics.base import ClientView, Facts, Measurement, Metric, at, measured
from metrics.hessian.products import GradientGraph
from metrics.taylor_scores import cumulative_scores, taylor_score

_ELHUSSEIN = "Elhussein & Gürsoy 2025, PLayer-FL, arXiv 2502.08829"
_MOLCHANOV = "Molchanov et al. 2019, Importance Estimation for Neural Network Pruning, arXiv 1906.10771"
_FIRST = ("sensitivity", "sensitivity_per_parameter")
_SECOND = ("sensitivity_second_order", "sensitivity_second_order_per_parameter")
_CUMULATIVE = "sensitivity_cumulative"


class Sensitivity(Metric):
    """How much the loss of a client's batches depends on the weights of each layer.

    Per layer, in evaluation mode (no dropout, no augmentation, running batch norm statistics). b = 1 … B are batches
    of equal size without a record in common; w the parameters of the layer that are no biases (roles other than
    ``bias`` and ``norm_bias``), N numbers; g_b and H_b first and second derivatives with respect to w of the mean
    cross entropy of batch b:

    - sensitivity: mean over b of Σ (w ⊙ g_b)².
    - sensitivity_per_parameter: the same / N, the s_k of PLayer-FL.
    - sensitivity_second_order: mean over b of Σ (w ⊙ H_b w)², on the first ``second_order_batches`` of the batches;
      the curvature along the weights themselves, where the original took a random direction
      (:class:`metrics.originals.Originals`). Like the first-order value it is the same for any scale of the weights
      that the model's outputs do not depend on.
    - sensitivity_second_order_per_parameter: the same / N.
    - sensitivity_cumulative: S_l = Σ_{k≤l} s_k / s_1 over those layers, in the order of the model, that have weights
      and are no norm layers; 1 for the first. The original's models have no norm layers and its S_l runs over all
      parameters that are no biases; a norm layer's few scales near 1 have a far larger s_k than the layer they
      belong to and are shared with it or not at all, so they would hide the step that S_l is to show.

    Values fall with the size of the batches, because g_b contains its own noise: compare equal ``batch_records`` only.
    Standard errors: over batches, n = B (delete-one-batch jackknife for S_l); none for a single batch. Clients that
    have too few records for B batches use fewer of them, and those that cannot fill one have missing values. A layer
    that the loss does not depend on has 0.

    Args:
        scope: ``client_train``, ``client_val`` or ``client_test``: where the records come from.
        batches: B, 1 or more, drawn without replacement.
        batch_records: records in a batch, 1 or more.
        second_order_batches: on how many of them second derivatives are taken, 0 (not at all) or more. One batch
            costs up to as many gradients of the model as it has layers with weights.
        rounds, moments: see :class:`metrics.base.Metric`.

    References:
        Elhussein & Gürsoy 2025, PLayer-FL, arXiv 2502.08829; Molchanov et al. 2019, arXiv 1906.10771.
    """

    facts = (
        Facts("sensitivity", "nat^2", 0.0, math.inf, "neutral", _ELHUSSEIN, cost="pass"),
        Facts("sensitivity_per_parameter", "nat^2", 0.0, math.inf, "neutral", _ELHUSSEIN, cost="pass"),
        Facts("sensitivity_second_order", "nat^2", 0.0, math.inf, "neutral", _MOLCHANOV, cost="heavy"),
        Facts("sensitivity_second_order_per_parameter", "nat^2", 0.0, math.inf, "neutral", _MOLCHANOV, cost="heavy"),
        Facts("sensitivity_cumulative", "1", 1.0, math.inf, "neutral", _ELHUSSEIN, cost="pass"),
    )

    def __init__(
        self,
        scope: str = "client_train",
        batches: int = 8,
        batch_records: int = 64,
        second_order_batches: int = 4,
        rounds: Sequence[str | int] = ("first", "last"),
        moments: Sequence[str] = ("after_local",),
    ) -> None:
        super().__init__(rounds, moments)
        if scope not in ("client_train", "client_val", "client_test"):
            raise ValueError(f"scope must be client_train, client_val or client_test, got {scope!r}")
        for name, value in (("batches", batches), ("batch_records", batch_records)):
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value!r}")
        if second_order_batches < 0:
            raise ValueError(f"second_order_batches must be 0 or more, got {second_order_batches!r}")
        self.scope, self.batches, self.batch_records = scope, batches, batch_records
        self.second_order_batches = second_order_batches

    def client(self, view: ClientView) -> Measurement:
        """Measure every layer of one client's model."""
        batches = self._batches(view)
        if not batches:
            records = len(view.data[self.scope]) if self.scope in view.data else 0
            reason = f"{records} records in {self.scope}, a batch needs {self.batch_records}"
            return Measurement([row for layer in view.layers for row in self._missing(layer, reason)])
        layers = [layer for layer in view.layers if _numbers(layer)]
        found = [
            _scores(view, layers, *batch, second_order=index < self.second_order_batches)
            for index, batch in enumerate(batches)
        ]
        first, second = (_stacked(parts, len(layers)) for parts in zip(*found, strict=True))
        reason = "no parameters that are not biases"
        rows = [row for layer in view.layers if layer not in layers for row in self._missing(layer, reason)]
        for index, layer in enumerate(layers):
            rows += self._rows(layer, _FIRST, first[index])
            rows += self._rows(layer, _SECOND, second[index]) if second.shape[1] else []
        return Measurement(rows + self._cumulative(layers, first))

    def _batches(self, view: ClientView) -> list[tuple[Tensor, Tensor]]:
        """Return features and labels of as many batches of equal size as there are records for, at most B."""
        if self.scope not in view.data:
            return []
        records = view.data[self.scope]
        order = torch.randperm(len(records), generator=torch_generator(view.seed, f"sensitivity/{self.scope}"))
        count = min(self.batches, len(records) // self.batch_records)
        parts = order[: count * self.batch_records].reshape(count, self.batch_records)
        batches = [records.batch(part) for part in parts]
        return [(features.to(view.device), labels.to(view.device)) for features, labels in batches]

    def _rows(self, layer: Layer, names: tuple[str, str], scores: Tensor) -> list[Row]:
        """Return the mean over batches of a layer's scores, shape (batches,), and the same per parameter."""
        count = len(scores)
        mean = float(scores.mean())
        error = float(scores.std()) / math.sqrt(count) if count > 1 else None
        columns = {"scope": self.scope, "n": count, **at(layer)}
        numbers = _numbers(layer)
        per = None if error is None else error / numbers
        reason = "not finite, or what computes it cannot be differentiated twice" if names == _SECOND else "not finite"
        return [
            measured(names[0], mean, reason, stderr=error, **columns),
            measured(names[1], mean / numbers, reason, stderr=per, **columns),
        ]

    def _cumulative(self, layers: Sequence[Layer], scores: Tensor) -> list[Row]:
        """Return S_l of every layer from its scores on every batch, shape (layers, batches)."""
        chosen = [index for index, layer in enumerate(layers) if layer.kind != "norm"]
        numbers = torch.tensor([[_numbers(layers[index])] for index in chosen], dtype=torch.float64).reshape(-1, 1)
        found = cumulative_scores(scores[chosen] / numbers)
        columns = {"scope": self.scope, "n": scores.shape[1]}
        rows: list[Row] = [
            measured(_CUMULATIVE, math.nan, "norm layers are left out of the sum", **columns, **at(layer))
            for layer in layers
            if layer.kind == "norm"
        ]
        reason = "the first layer's sensitivity is zero, or one is not finite"
        for index, value, error in zip(chosen, found.values, found.errors, strict=True):
            rows.append(measured(_CUMULATIVE, value, reason, stderr=error, **columns, **at(layers[index])))
        return rows

    def _missing(self, layer: Layer, reason: str) -> list[Row]:
        names = (*_FIRST, *(_SECOND if self.second_order_batches else ()), _CUMULATIVE)
        return [measured(name, math.nan, reason, scope=self.scope, n=0, **at(layer)) for name in names]


def _scores(
    view: ClientView, layers: Sequence[Layer], features: Tensor, labels: Tensor, *, second_order: bool
) -> tuple[list[float], list[float]]:
    """Return Σ (w ⊙ g)² of every layer on one batch and, if asked for, Σ (w ⊙ H w)²."""
    graph = GradientGraph(view.module, view.layers, features, labels)
    first, second = [], []
    for layer in layers:
        names = [parameter.name for parameter in layer.weights]
        weights = [view.parameters[name] for name in names]
        slopes = dict(zip(layer.names, graph.gradients(layer), strict=True))
        first.append(taylor_score(weights, [slopes[name] for name in names]))
        if second_order:
            try:
                second.append(taylor_score(weights, graph.product(layer, weights, names)))
            except RuntimeError:  # an operation without a second derivative
                second.append(math.nan)
    return first, second


def _stacked(parts: Sequence[Sequence[float]], layers: int) -> Tensor:
    """Return the scores of all batches that have some, shape (layers, batches)."""
    return torch.tensor([part for part in parts if part], dtype=torch.float64).reshape(-1, layers).T


def _numbers(layer: Layer) -> int:
    return sum(math.prod(parameter.shape) for parameter in layer.weights)
