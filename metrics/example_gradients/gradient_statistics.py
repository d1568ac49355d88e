"""Mean and scatter of per-example gradients, per layer, with standard errors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from fedlayers.core.layers import Layer
from metrics.example_gradients.per_example import ExamplePass
from metrics.example_gradients.products import HeldBatch, held_batch
from metrics.statistics.jackknife import jackknife_error

# Sums of squares of float32 gradients agree to about this many units in the last place.
_ROUNDING = 16
# What products need is kept up to this size, about as much as the weights of a large model and its gradients.
KEPT_BYTES = 2**28


@dataclass(frozen=True)
class GradientSample:
    """Gradients g_i of n examples' losses.

    Attributes:
        mean: parameter name -> ḡ = Σ g_i / n, in the parameter's shape.
        squares: layer name -> ‖g_i‖², shape (n,), float64.
        products: layer name -> ⟨g_i, ḡ⟩, shape (n,), float64.
    """

    mean: dict[str, Tensor]
    squares: dict[str, Tensor]
    products: dict[str, Tensor]

    @cached_property
    def mean_squares(self) -> dict[str, float]:
        """Parameter name -> ‖ḡ‖² of its part of ḡ."""
        return {name: float(mean.square().sum(dtype=torch.float64)) for name, mean in self.mean.items()}

    @property
    def n(self) -> int:
        """The number of examples."""
        return len(next(iter(self.squares.values())))


def sample_gradients(
    gradients: ExamplePass, layers: Sequence[Layer], blocks: Sequence[tuple[Tensor, Tensor]]
) -> GradientSample:
    """Run the per-example pass over blocks of examples, and take its products with the mean that it gave.

    The gradients, or what passed the layers, are kept for the products while there is room; further blocks pass the
    model again.

    Args:
        gradients: the pass over the model.
        layers: the layers to reduce to.
        blocks: features and labels of each block.
    """
    n = sum(len(labels) for _, labels in blocks)
    # To replay layers twice would cost more than a plain pass for the mean.
    known = _plain_mean(gradients, blocks) if gradients.replayed else {}
    sums, squares, products = dict[str, Tensor](), [], []
    kept, room = list[HeldBatch | None](), KEPT_BYTES
    for block in blocks:
        taps = gradients.observe(*block)
        part = gradients(*block, known, taps)
        _add(sums, part.sums)
        squares.append(part.squares)
        products.append(part.products)
        # Layers that did not see every example, experts among several, have others' gradients by another way.
        complete = not known and all(tap.is_batched(len(block[1])) for tap in taps.values())
        kept.append(held_batch(part.examples, taps, room) if complete else None)
        room -= kept[-1].size_bytes if kept[-1] else 0
    mean = {name: total.div_(n) for name, total in sums.items()}
    if not known:
        products = [gradients.products(*block, mean, held) for block, held in zip(blocks, kept, strict=True)]
    return GradientSample(
        mean=mean,
        squares={layer.name: torch.cat([part[layer.name] for part in squares]).cpu() for layer in layers},
        products={layer.name: torch.cat([part[layer.name] for part in products]).cpu() for layer in layers},
    )


def _plain_mean(gradients: ExamplePass, blocks: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    sums: dict[str, Tensor] = {}
    for block in blocks:
        _add(sums, gradients.sums(*block))
    n = sum(len(labels) for _, labels in blocks)
    return {name: total.div_(n) for name, total in sums.items()}


def _add(sums: dict[str, Tensor], part: Mapping[str, Tensor]) -> None:
    """Add sums to those of earlier blocks, which are as large as the model, in place."""
    for name, tensor in part.items():
        sums[name] = sums[name].add_(tensor) if name in sums else tensor


@dataclass(frozen=True)
class GradientScatter:
    """How gradients of single examples scatter about their mean, in one layer or the whole model.

    Attributes:
        n: the number of examples.
        mean_square: ‖ḡ‖².
        trace: tr Σ, the unbiased trace of the gradients' covariance; NaN for n < 2.
        signal: |G|² = ‖ḡ‖² − tr Σ / n, the unbiased squared norm of the expected gradient; may be negative.
        errors: standard error of ``norm``, ``debiased``, ``trace``, ``noise_scale`` and ``snr``; None where unknown.
    """

    n: int
    mean_square: float
    trace: float
    signal: float
    errors: dict[str, float | None]

    @property
    def norm(self) -> float:
        """‖ḡ‖."""
        return math.sqrt(self.mean_square)

    @property
    def debiased(self) -> float:
        """|G|; NaN unless |G|² is positive."""
        return math.sqrt(self.signal) if self.signal > 0 else math.nan

    @property
    def noise(self) -> float:
        """√(tr Σ / n): ‖ḡ‖ if the expected gradient is zero; NaN for n < 2."""
        return math.sqrt(self.trace / self.n)

    @property
    def noise_scale(self) -> float:
        """Tr Σ / |G|², in examples; NaN unless |G|² is positive."""
        return self.trace / self.signal if self.signal > 0 else math.nan

    @property
    def snr(self) -> float:
        """|G|² / tr Σ, 0 in expectation for gradients of mean zero; NaN if all gradients are equal."""
        return self.signal / self.trace if self.trace > 0 else math.nan


def scatter(sample: GradientSample, layers: Sequence[Layer]) -> GradientScatter:
    """Return the scatter of the gradients over all given layers together.

    tr Σ = (Σ_i ‖g_i‖² − n ‖ḡ‖²) / (n − 1) exactly, without the gradients themselves: 0 for gradients that are equal
    up to rounding. It is a sum over layers, as is ‖ḡ‖².

    Args:
        sample: the gradients.
        layers: the layers, at least one.

    Returns:
        The scatter; standard errors are delete-one-example jackknife, from ‖ḡ_{−i}‖² = ‖n ḡ − g_i‖² / (n − 1)².

    References:
        McCandlish et al. 2018, An Empirical Model of Large-Batch Training, arXiv 1812.06162, appendix A.
    """
    squares = torch.stack([sample.squares[layer.name] for layer in layers]).sum(0)
    products = torch.stack([sample.products[layer.name] for layer in layers]).sum(0)
    names = [name for layer in layers for name in layer.names]
    mean_square = sum(sample.mean_squares[name] for name in names)
    rounding = _ROUNDING * float(torch.finfo(sample.mean[names[0]].dtype).eps)
    n, total = sample.n, float(squares.sum())
    whole = _scatter(n, total, mean_square, rounding)
    if n < 3:
        return whole
    rest = (n**2 * mean_square - 2 * n * products + squares) / (n - 1) ** 2
    pairs = zip((total - squares).tolist(), rest.clamp(min=0).tolist(), strict=True)
    without = [_scatter(n - 1, left, square, rounding) for left, square in pairs]
    errors, ones = {}, torch.ones(n)
    for name in whole.errors:
        others = torch.tensor([getattr(part, name) for part in without], dtype=torch.float64)
        errors[name] = jackknife_error(getattr(whole, name), others, ones)
    return replace(whole, errors=errors)


def _scatter(n: int, squares: float, mean_square: float, rounding: float) -> GradientScatter:
    deviations = squares - n * mean_square
    trace = math.nan if n < 2 else 0.0 if deviations <= rounding * squares else deviations / (n - 1)
    names = ("norm", "debiased", "trace", "noise_scale", "snr")
    return GradientScatter(n, mean_square, trace, mean_square - trace / n, dict.fromkeys(names))
