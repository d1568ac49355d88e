"""Mean and scatter of per-example gradients, per layer, with standard errors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from fedlayers.core.layers import Layer
from metrics.example_gradients.per_example import ExamplePass
from metrics.example_gradients.products import HeldBatch, held_batch
from metrics.statistics.jackknife import jackknife_errors

# Sums of squares of float32 gradients agree to about this many units in the last place.
_ROUNDING = 16
# What products need is kept up to this size, about as much as the weights of a large model and its gradients.
KEPT_BYTES = 2**28
# What a scatter has standard errors of.
_WITH_ERRORS = ("norm", "debiased", "trace", "noise_scale", "snr")


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
        signal: |G|² = ‖ḡ‖² − tr Σ / n, the unbiased squared norm of the expected gradient; may be negative.
        norm: ‖ḡ‖.
        debiased: |G|; NaN unless |G|² is positive.
        trace: tr Σ, the unbiased trace of the gradients' covariance; NaN for n < 2.
        noise_scale: tr Σ / |G|², in examples; NaN unless |G|² is positive.
        snr: |G|² / tr Σ, 0 in expectation for gradients of mean zero; NaN if all gradients are equal.
        errors: standard error of ``norm``, ``debiased``, ``trace``, ``noise_scale`` and ``snr``; None where unknown.
    """

    n: int
    mean_square: float
    signal: float
    norm: float
    debiased: float
    trace: float
    noise_scale: float
    snr: float
    errors: dict[str, float | None]

    @property
    def noise(self) -> float:
        """√(tr Σ / n): ‖ḡ‖ if the expected gradient is zero; NaN for n < 2."""
        return math.sqrt(self.trace / self.n)


def scatter(sample: GradientSample, layers: Sequence[Layer]) -> GradientScatter:
    """Return the scatter of the gradients over all given layers together: :func:`scatters` of one group."""
    return scatters(sample, [layers])[0]


def scatters(sample: GradientSample, groups: Sequence[Sequence[Layer]]) -> list[GradientScatter]:
    """Return the scatter of the gradients over all layers of each group together.

    tr Σ = (Σ_i ‖g_i‖² − n ‖ḡ‖²) / (n − 1) exactly, without the gradients themselves: 0 for gradients that are equal
    up to rounding. It is a sum over layers, as is ‖ḡ‖².

    Args:
        sample: the gradients.
        groups: of layers, at least one in each.

    Returns:
        The scatters; standard errors are delete-one-example jackknife, from ‖ḡ_{−i}‖² = ‖n ḡ − g_i‖² / (n − 1)².

    References:
        McCandlish et al. 2018, An Empirical Model of Large-Batch Training, arXiv 1812.06162, appendix A.
    """
    n, names = sample.n, [[name for layer in layers for name in layer.names] for layers in groups]
    squares, products = (
        torch.stack([torch.stack([found[layer.name] for layer in layers]).sum(0) for layers in groups])
        for found in (sample.squares, sample.products)
    )
    kinds = [sample.mean[of_group[0]].dtype for of_group in names]
    rounding = np.array([[_ROUNDING * float(torch.finfo(kind).eps)] for kind in kinds])
    mean_square = np.array([[sum(sample.mean_squares[name] for name in of_group)] for of_group in names])
    total = np.array([[float(of_group.sum())] for of_group in squares])
    whole = _quantities(n, total, mean_square, rounding)
    values = {name: column[:, 0].tolist() for name, column in whole.items()}
    errors: dict[str, Sequence[float | None]] = {name: [None] * len(groups) for name in _WITH_ERRORS}
    if n >= 3:
        with np.errstate(all="ignore"):
            rest = (n**2 * mean_square - 2 * n * products.numpy() + squares.numpy()) / (n - 1) ** 2
            without = _quantities(n - 1, total - squares.numpy(), np.maximum(rest, 0), rounding)
        for name in errors:
            errors[name] = jackknife_errors(values[name], torch.from_numpy(without[name]), torch.ones(n))
    return [
        GradientScatter(
            n,
            float(mean_square[place, 0]),
            **{name: column[place] for name, column in values.items()},
            errors={name: column[place] for name, column in errors.items()},
        )
        for place in range(len(groups))
    ]


def _quantities(n: int, squares: np.ndarray, mean_square: np.ndarray, rounding: np.ndarray) -> dict[str, np.ndarray]:
    """Return what :class:`GradientScatter` says of n gradients, of as many sets of them as there are numbers.

    In numpy, whose roots are the nearest numbers whatever the processor.

    Args:
        n: how many gradients a set has.
        squares: Σ_i ‖g_i‖².
        mean_square: ‖ḡ‖², likewise.
        rounding: the share of ``squares`` up to which a deviation is none.
    """
    with np.errstate(all="ignore"):
        deviations = squares - n * mean_square
        trace = np.full_like(deviations, math.nan)
        if n > 1:
            trace = np.where(deviations <= rounding * squares, 0.0, deviations / (n - 1))
        signal = mean_square - trace / n
        return {
            "signal": signal,
            "norm": np.sqrt(mean_square),
            "debiased": np.where(signal > 0, np.sqrt(signal), math.nan),
            "trace": trace,
            "noise_scale": np.where(signal > 0, trace / signal, math.nan),
            "snr": np.where(trace > 0, signal / trace, math.nan),
        }
