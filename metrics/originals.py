"""The columns of PLayer-FL's release under names that say what they are, to compare with its published figures."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fedlayers.core.layers import Layer
from fedlayers.core.quantities import LossFacts
from fedlayers.core.records import Row
from fedlayers.core.seeding import torch_generator
from metrics.base import ClientView, Facts, Measurement, Metric, at, measured
from metrics.hessian.products import GradientGraph
from metrics.statistics.singular_values import resolution, slice_singular_values, summarise
from metrics.statistics.taylor_scores import taylor_score
from metrics.statistics.weight_statistics import count_small, moments, squared_norm

_ELHUSSEIN = "Elhussein & Gürsoy 2025, PLayer-FL, arXiv 2502.08829, and its code of May 2025"
_THRESHOLDS = (0.01, 0.05, 0.1)
_SCOPE = "client_train"
_WEIGHT = ("original_mean_abs_weight", "original_weight_variance")
_PERCENT = "original_percent_weights_below"
_GRADIENT = ("original_sensitivity", "original_sensitivity_per_parameter", "original_gradient_variance")
_PRODUCT = ("original_second_order", "original_second_order_per_parameter", "original_product_variance")
_SINGULAR = (
    "original_product_nuclear_norm", "original_product_operator_norm", "original_product_condition",
    "original_product_skewness", "original_product_percent_small",
)  # fmt: skip


class Originals(Metric):
    """What PLayer-FL's release computes for each weight tensor of a client's model, as it computes it.

    For every parameter w that is no bias, norm layers included, with N numbers: g = ∂L/∂w of the mean loss L
    of one batch; v a random normal tensor of w's shape, scaled to norm 1; h = ∂⟨g, v⟩/∂w, one product of v with the
    Hessian block of w alone; σ the singular values of h as a matrix (out, rest). For convolutions (tensors with four
    axes) σ are those of the ``in`` matrices (out, height · width) together, divided by ``in``.

    ========================= ========================== ============================= =============================
    column of the release     here, after ``original_``  definition                    what it is not
    ========================= ========================== ============================= =============================
    Weight Mean               mean_abs_weight            Σ|w| / N                      the mean of w
    Weight Variance           weight_variance            Σ(w − w̄)² / (N − 1)
    % Weights < t             percent_weights_below      percentage of |w| < t         relative to w's scale
    Gradient Importance       sensitivity                Σ(w ⊙ g)²                     a mean over batches
    Gradient Importance per   sensitivity_per_parameter  Σ(w ⊙ g)² / N                 a mean over batches
    Gradient Variance         gradient_variance          Σ(g − ḡ)² / (N − 1)           a variance between examples
    SVD Sum EV                product_nuclear_norm       Σσ (convolutions: see σ)      a sum of eigenvalues, a trace
    Operator norm             product_operator_norm      max σ                         the norm of the Hessian
    Condition Number          product_condition          max σ / min{σ > 10⁻⁸}         the condition of the Hessian
    EV Skewness               product_skewness           m₃(σ) / m₂(σ)^{3/2}           a skewness of eigenvalues
    % EV small                product_percent_small      percentage of σ < max σ / 100 a share of eigenvalues
    % EV neg                  (left out)                 percentage of σ < −10⁻⁸       ever other than 0
    Gradient Importance 2     second_order               Σ(w ⊙ h)²                     curvature along w
    Gradient Importance per 2 second_order_per_parameter Σ(w ⊙ h)² / N                 curvature along w
    Hessian Variance          product_variance           Σ(h − h̄)² / (N − 1)          a variance of the Hessian
    ========================= ========================== ============================= =============================

    As in the release: the batch is drawn with replacement from the training examples; batch and v come from
    generators seeded by the round alone, so that all clients and runs draw the same positions (where they have equally
    many examples) and all tensors of a shape have the same v; one batch and one v, hence no standard errors; no value
    about σ if none is above 10⁻¹². Unlike there: other random numbers; evaluation mode, so no dropout, and no
    augmentation; the run's objective, cross entropy by default, also where the release took focal loss; singular values
    in float64, and those that are zero up to the product's rounding left out of the condition; embeddings like all
    other tensors; zero slopes where L does not depend on w, which the release leaves out; a missing value where it
    divides by 10⁻⁸ (no σ above) or replaces a failed decomposition by zeros.

    The better-founded quantities are those of :mod:`metrics.sensitivity`, :mod:`metrics.gradients`,
    :mod:`metrics.weights` and, for the Hessian, its trace and eigenvalues. Variant: the parameter, if a layer has
    several weight tensors, and the threshold t.

    Args:
        batch_examples: examples in the batch, 1 or more; the release takes the batch size of training.
        rounds, moments: see :class:`metrics.base.Metric`.

    References:
        Elhussein & Gürsoy 2025, PLayer-FL, arXiv 2502.08829.
    """

    facts = (
        Facts("original_mean_abs_weight", "1", 0.0, math.inf, "neutral", _ELHUSSEIN),
        Facts("original_weight_variance", "1", 0.0, math.inf, "neutral", _ELHUSSEIN, minimum_n=2),
        Facts("original_percent_weights_below", "%", 0.0, 100.0, "neutral", _ELHUSSEIN),
        LossFacts("original_sensitivity", "nat^2", 0.0, math.inf, "neutral", _ELHUSSEIN, cost="pass"),
        LossFacts("original_sensitivity_per_parameter", "nat^2", 0.0, math.inf, "neutral", _ELHUSSEIN, cost="pass"),
        LossFacts("original_gradient_variance", "nat^2", 0.0, math.inf, "neutral", _ELHUSSEIN, cost="pass"),
        LossFacts("original_product_nuclear_norm", "nat", 0.0, math.inf, "neutral", _ELHUSSEIN, cost="heavy"),
        LossFacts("original_product_operator_norm", "nat", 0.0, math.inf, "neutral", _ELHUSSEIN, cost="heavy"),
        Facts("original_product_condition", "1", 1.0, math.inf, "neutral", _ELHUSSEIN, cost="heavy"),
        Facts("original_product_skewness", "1", -math.inf, math.inf, "neutral", _ELHUSSEIN, cost="heavy"),
        Facts("original_product_percent_small", "%", 0.0, 100.0, "neutral", _ELHUSSEIN, cost="heavy"),
        LossFacts("original_second_order", "nat^2", 0.0, math.inf, "neutral", _ELHUSSEIN, cost="heavy"),
        LossFacts("original_second_order_per_parameter", "nat^2", 0.0, math.inf, "neutral", _ELHUSSEIN, cost="heavy"),
        LossFacts("original_product_variance", "nat^2", 0.0, math.inf, "neutral", _ELHUSSEIN, cost="heavy"),
    )

    def __init__(
        self,
        batch_examples: int = 128,
        rounds: Sequence[str | int] = ("first", "last"),
        moments: Sequence[str] = ("after_local",),
    ) -> None:
        super().__init__(rounds, moments)
        if batch_examples < 1:
            raise ValueError(f"batch_examples must be 1 or more, got {batch_examples!r}")
        self.batch_examples = batch_examples

    def client(self, view: ClientView) -> Measurement:
        """Measure every weight tensor of one client's model."""
        graph = self._graph(view)
        rows: list[Row] = []
        for layer in view.layers:
            weights = layer.weights
            if not weights:
                rows += _without_weights(layer)
            for parameter in weights:
                variant = parameter.name.removeprefix(f"{layer.name}.") if len(weights) > 1 else None
                address = {**at(layer), "variant": variant}
                rows += _weight_rows(view.parameters[parameter.name], address)
                rows += self._data_rows(view, graph, layer, parameter.name, address)
        return Measurement(rows)

    def rehearse(self, view: ClientView) -> None:
        """Take the gradient and one product of every weight tensor, without the singular values."""
        graph = GradientGraph(view.module, view.layers, *_one_example(view), view.objective)
        for layer in view.layers:
            for weight in layer.weights:
                graph.product(layer, [view.parameters[weight.name]], [weight.name])

    def _graph(self, view: ClientView) -> GradientGraph | None:
        """Return the gradients of the batch, None for a client without training examples."""
        if _SCOPE not in view.data:
            return None
        examples = view.data[_SCOPE]
        # Seed 0 in place of the view's: the release seeds by the round and nothing else.
        generator = torch_generator(0, "originals/batch", view.round)
        features, labels = examples.batch(torch.randint(len(examples), (self.batch_examples,), generator=generator))
        return GradientGraph(view.module, view.layers, features.to(view.device), labels.to(view.device), view.objective)

    def _data_rows(
        self, view: ClientView, graph: GradientGraph | None, layer: Layer, name: str, address: dict[str, Any]
    ) -> list[Row]:
        """Return what follows from the gradient of one weight tensor, and from its random product."""
        columns = {**address, "scope": _SCOPE, "n": self.batch_examples if graph else 0}
        if graph is None:
            reason = f"no examples in {_SCOPE}"
            return [measured(metric, math.nan, reason, **columns) for metric in _GRADIENT + _PRODUCT + _SINGULAR]
        weight = view.parameters[name]
        gradient = dict(zip(layer.names, graph.gradients(layer), strict=True))[name]
        rows = _score_rows(_GRADIENT, weight, gradient, columns)
        try:
            (product,) = graph.product(layer, [random_direction(weight, view.round)], [name])
        except RuntimeError as error:  # an operation without a second derivative
            reason = " ".join(str(error).split())[:300]
            return rows + [measured(metric, math.nan, reason, **columns) for metric in _PRODUCT + _SINGULAR]
        return rows + _score_rows(_PRODUCT, weight, product, columns) + _singular_rows(product, columns)


def _one_example(view: ClientView) -> tuple[Tensor, Tensor]:
    features, labels = next(iter(view.data.values())).batch(torch.arange(1))
    return features.to(view.device), labels.to(view.device)


def random_direction(weight: Tensor, server_round: int) -> Tensor:
    """Return v: normal numbers in the shape of a weight tensor, scaled to norm 1, the same for a shape and a round.

    Examples:
        >>> import torch
        >>> direction = random_direction(torch.ones(2, 3), server_round=1)
        >>> direction.shape
        torch.Size([2, 3])
    """
    numbers = torch.randn(weight.shape, generator=torch_generator(0, "originals/direction", server_round))
    return (numbers / math.sqrt(squared_norm([numbers]))).to(weight)


def _weight_rows(weight: Tensor, address: dict[str, Any]) -> list[Row]:
    found = moments([weight])
    rows: list[Row] = [
        measured(_WEIGHT[0], found.absolute, **address),
        measured(_WEIGHT[1], found.variance, _variance_reason(weight), **address),
    ]
    for threshold in _THRESHOLDS:
        share = count_small([weight], threshold) / found.count if math.isfinite(found.absolute) else math.nan
        parts = [part for part in (address["variant"], f"t={threshold:g}") if part]
        rows.append(measured(_PERCENT, 100 * share, **{**address, "variant": ", ".join(parts)}))
    return rows


def _score_rows(names: Sequence[str], weight: Tensor, slope: Tensor, columns: dict[str, Any]) -> list[Row]:
    """Return Σ (w ⊙ s)², the same per number, and the variance of s."""
    score = taylor_score([weight], [slope])
    return [
        measured(names[0], score, **columns),
        measured(names[1], score / weight.numel(), **columns),
        measured(names[2], moments([slope]).variance, _variance_reason(weight), **columns),
    ]


def _singular_rows(product: Tensor, columns: dict[str, Any]) -> list[Row]:
    if not bool(product.isfinite().all()):
        return [measured(name, math.nan, "the product is not finite", **columns) for name in _SINGULAR]
    found = summarise(slice_singular_values(product), resolution(product))
    zero = "no singular value is above 1e-12" if math.isnan(found.operator) else None
    values = (
        (found.nuclear, zero),
        (found.operator, zero),
        (found.condition, zero or "no singular value is above 1e-8"),
        (found.skewness, zero or "the singular values do not vary"),
        (found.percent_small, zero),
    )
    return [
        measured(name, value, reason or "not finite", **columns)
        for name, (value, reason) in zip(_SINGULAR, values, strict=True)
    ]


def _without_weights(layer: Layer) -> list[Row]:
    names = (*_WEIGHT, _PERCENT, *_GRADIENT, *_PRODUCT, *_SINGULAR)
    return [measured(name, math.nan, "no parameters that are not biases", **at(layer)) for name in names]


def _variance_reason(tensor: Tensor) -> str:
    return "one number has no variance" if tensor.numel() == 1 else "not finite"
