"""How much the loss depends on each layer's weights, batch by batch, and the sum from the first layer on."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fedlayers.core.layers import Layer
from fedlayers.core.quantities import LossFacts
from fedlayers.core.records import Row
from metrics.base import ClientView, Facts, Measurement, Metric, at, measured
from metrics.hessian.stacked import LossGraph, loss_graph
from metrics.statistics.equal_batches import equal_batches
from metrics.statistics.taylor_scores import cumulative_scores, taylor_score

_ELHUSSEIN = "Elhussein & Gürsoy 2025, PLayer-FL, arXiv 2502.08829"
_MOLCHANOV = "Molchanov et al. 2019, Importance Estimation for Neural Network Pruning, arXiv 1906.10771"
_FIRST = ("sensitivity", "sensitivity_per_parameter")
_SECOND = ("sensitivity_second_order", "sensitivity_second_order_per_parameter")
_CUMULATIVE = "sensitivity_cumulative"


class Sensitivity(Metric):
    """How much the loss of a client's batches depends on the weights of each layer.

    Per layer, in evaluation mode (no dropout, no augmentation, running batch norm statistics). b = 1 … B are batches
    of equal size without an example in common; w the parameters of the layer that are no biases (roles other than
    ``bias`` and ``norm_bias``), N numbers; g_b and H_b first and second derivatives with respect to w of the mean
    loss of batch b:

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

    Values fall with the size of the batches, because g_b contains its own noise: compare equal ``batch_examples`` only.
    ``chance`` of all but S_l is what that noise adds on average, B / (B − 1) times the mean over b of
    Σ (w ⊙ (g_b − ḡ))², ḡ the mean over batches (H_b w likewise): value − chance estimates Σ (w ⊙ E g)², for batches of
    any size.
    Standard errors: over batches, n = B (delete-one-batch jackknife for S_l); none for a single batch. Clients that
    have too few examples for B batches use fewer of them, and those that cannot fill one have missing values. A layer
    that the loss does not depend on has 0.

    Args:
        scope: ``client_train``, ``client_val`` or ``client_test``: where the examples come from.
        batches: B, 1 or more, drawn without replacement.
        batch_examples: examples in a batch, 1 or more.
        second_order_batches: on how many of them second derivatives are taken, 0 (not at all) or more. One batch
            costs up to as many gradients of the model as it has layers with weights.
        rounds, moments: see :class:`metrics.base.Metric`.

    References:
        Elhussein & Gürsoy 2025, PLayer-FL, arXiv 2502.08829; Molchanov et al. 2019, arXiv 1906.10771.
    """

    facts = (
        LossFacts("sensitivity", "nat^2", 0.0, math.inf, "neutral", _ELHUSSEIN, cost="pass"),
        LossFacts("sensitivity_per_parameter", "nat^2", 0.0, math.inf, "neutral", _ELHUSSEIN, cost="pass"),
        LossFacts("sensitivity_second_order", "nat^2", 0.0, math.inf, "neutral", _MOLCHANOV, cost="heavy"),
        LossFacts(
            "sensitivity_second_order_per_parameter", "nat^2", 0.0, math.inf, "neutral", _MOLCHANOV, cost="heavy"
        ),
        Facts("sensitivity_cumulative", "1", 1.0, math.inf, "neutral", _ELHUSSEIN, cost="pass"),
    )

    def __init__(
        self,
        scope: str = "client_train",
        batches: int = 8,
        batch_examples: int = 64,
        second_order_batches: int = 4,
        rounds: Sequence[str | int] = ("first", "last"),
        moments: Sequence[str] = ("after_local",),
    ) -> None:
        super().__init__(rounds, moments)
        if scope not in ("client_train", "client_val", "client_test"):
            raise ValueError(f"scope must be client_train, client_val or client_test, got {scope!r}")
        for name, value in (("batches", batches), ("batch_examples", batch_examples)):
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value!r}")
        if second_order_batches < 0:
            raise ValueError(f"second_order_batches must be 0 or more, got {second_order_batches!r}")
        self.scope, self.batches, self.batch_examples = scope, batches, batch_examples
        self.second_order_batches = second_order_batches

    def client(self, view: ClientView) -> Measurement:
        """Measure every layer of one client's model."""
        batches = equal_batches(view, self.scope, self.batches, self.batch_examples)
        if not batches:
            examples = len(view.data[self.scope]) if self.scope in view.data else 0
            reason = f"{examples} examples in {self.scope}, a batch needs {self.batch_examples}"
            return Measurement([row for layer in view.layers for row in self._missing(layer, reason)])
        layers = [layer for layer in view.layers if _numbers(layer)]
        first, second = BatchScores(len(layers)), BatchScores(len(layers))
        for index, chosen in enumerate(batches):
            graph = loss_graph(view, self.scope, chosen)
            for place, layer in enumerate(layers):
                names = [parameter.name for parameter in layer.weights]
                weights = [view.parameters[name] for name in names]
                slopes = dict(zip(layer.names, graph.gradients(layer), strict=True))
                first.add(place, weights, [slopes[name] for name in names])
                if index < self.second_order_batches:
                    second.add(place, weights, _product(graph, layer, weights, names))
            del graph  # it is as large as all intermediate values twice; the next batch makes its own
        reason = "no parameters that are not biases"
        rows = [row for layer in view.layers if layer not in layers for row in self._missing(layer, reason)]
        for index, layer in enumerate(layers):
            rows += self._rows(layer, _FIRST, first.scores(index), first.noise(index))
            rows += self._rows(layer, _SECOND, second.scores(index), second.noise(index)) if second.means else []
        scores = torch.stack([first.scores(index) for index in range(len(layers))]) if layers else torch.empty(0, 1)
        return Measurement(rows + self._cumulative(layers, scores))

    def _rows(self, layer: Layer, names: tuple[str, str], scores: Tensor, noise: float | None) -> list[Row]:
        """Return the mean over batches of a layer's scores, shape (batches,), and the same per parameter."""
        count = len(scores)
        mean = float(scores.mean())
        error = float(scores.std()) / math.sqrt(count) if count > 1 else None
        columns = {"scope": self.scope, "n": count, **at(layer)}
        numbers = _numbers(layer)
        per = None if error is None else error / numbers
        reason = "not finite, or what computes it cannot be differentiated twice" if names == _SECOND else "not finite"
        return [
            measured(names[0], mean, reason, stderr=error, chance=noise, **columns),
            measured(names[1], mean / numbers, reason, stderr=per, chance=noise and noise / numbers, **columns),
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


class BatchScores:
    """Σ (w ⊙ s)² of every layer on every batch, and of the mean of all s.

    Args:
        layers: how many layers.
    """

    def __init__(self, layers: int) -> None:
        self._scores: list[list[float]] = [[] for _ in range(layers)]
        self._weights: dict[int, Sequence[Tensor]] = {}
        self.means: dict[int, list[Tensor]] = {}

    def add(self, layer: int, weights: Sequence[Tensor], slopes: Sequence[Tensor]) -> None:
        """Add one batch of a layer."""
        self._weights[layer] = weights
        before = self.means.get(layer)
        count = len(self._scores[layer])
        self._scores[layer].append(taylor_score(weights, slopes))
        wide = [slope.double() for slope in slopes]
        if before is not None:
            wide = [mean + (slope - mean) / (count + 1) for mean, slope in zip(before, wide, strict=True)]
        self.means[layer] = wide

    def scores(self, layer: int) -> Tensor:
        """Return a layer's scores, shape (batches,)."""
        return torch.tensor(self._scores[layer], dtype=torch.float64)

    def noise(self, layer: int) -> float | None:
        """Return what the differences between batches add to a layer's mean score; None for one batch."""
        scores = self.scores(layer)
        if len(scores) < 2 or not bool(scores.isfinite().all()):
            return None
        excess = float(scores.mean()) - taylor_score(self._weights[layer], self.means[layer])
        return max(excess, 0.0) * len(scores) / (len(scores) - 1)


def _product(graph: LossGraph, layer: Layer, weights: Sequence[Tensor], names: Sequence[str]) -> list[Tensor]:
    """Return H w, NaN where an operation has no second derivative."""
    try:
        return graph.product(layer, weights, names)
    except RuntimeError:
        return [torch.full_like(weight, math.nan) for weight in weights]


def _numbers(layer: Layer) -> int:
    return sum(math.prod(parameter.shape) for parameter in layer.weights)
