"""Mean and spread of per-example gradients, per layer, with standard errors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fedlayers.layers import Layer
from metrics.jackknife import jackknife_error, leave_out
from metrics.per_example import ExamplePass


@dataclass(frozen=True)
class GradientSample:
    """Gradients g_i of n records' losses, taken in J blocks of a random order.

    Attributes:
        mean: parameter name -> ḡ = Σ g_i / n, in the parameter's shape.
        squares: layer name -> ‖g_i‖², shape (n,), float64, in the order of the blocks.
        sizes: records in each block, shape (J,), int64.
        rest: layer name -> ‖Σ_{i not in block j} g_i‖², shape (J,), float64.
    """

    mean: dict[str, Tensor]
    squares: dict[str, Tensor]
    sizes: Tensor
    rest: dict[str, Tensor]

    @property
    def n(self) -> int:
        """The number of records."""
        return int(self.sizes.sum())


def sample_gradients(
    gradients: ExamplePass, layers: Sequence[Layer], blocks: Sequence[tuple[Tensor, Tensor]]
) -> GradientSample:
    """Run the per-example pass over blocks of records; holds one gradient of the model a block.

    Args:
        gradients: the pass over the model.
        layers: the layers to reduce to.
        blocks: features and labels of each block.
    """
    found = [gradients(features, labels) for features, labels in blocks]
    total = {name: sum((part.sums[name] for part in found[1:]), found[0].sums[name]) for name in found[0].sums}
    rest = {}
    for layer in layers:
        without = [
            sum(float((total[n] - part.sums[n]).square().sum(dtype=torch.float64)) for n in layer.names)
            for part in found
        ]
        rest[layer.name] = torch.tensor(without, dtype=torch.float64)
    sizes = torch.tensor([len(labels) for _, labels in blocks])
    n = int(sizes.sum())
    return GradientSample(
        mean={name: tensor / n for name, tensor in total.items()},
        squares={layer.name: torch.cat([part.squares[layer.name] for part in found]).cpu() for layer in layers},
        sizes=sizes,
        rest=rest,
    )


@dataclass(frozen=True)
class Spread:
    """How gradients of single records scatter about their mean, in one layer or the whole model.

    Attributes:
        n: the number of records.
        mean_square: ‖ḡ‖².
        trace: tr Σ, the unbiased trace of the gradients' covariance; NaN for n < 2.
        signal: |G|² = ‖ḡ‖² − tr Σ / n, the unbiased squared norm of the expected gradient; may be negative.
        errors: standard error of ``norm``, ``trace``, ``noise_scale`` and ``snr``; None where it cannot be had.
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
    def noise_scale(self) -> float:
        """Tr Σ / |G|², in records; NaN unless |G|² is positive."""
        return self.trace / self.signal if self.signal > 0 else math.nan

    @property
    def snr(self) -> float:
        """|G|² / tr Σ, 0 in expectation for gradients of mean zero; NaN if all gradients are equal."""
        return self.signal / self.trace if self.trace > 0 else math.nan


def spread(sample: GradientSample, layers: Sequence[Layer]) -> Spread:
    """Return the spread of the gradients over all given layers together.

    tr Σ = (Σ_i ‖g_i‖² − n ‖ḡ‖²) / (n − 1) exactly, without the gradients themselves: 0 for equal gradients (a
    negative result can only be rounding and is set to 0). It is a sum over layers, as is ‖ḡ‖².

    Args:
        sample: the gradients.
        layers: the layers, at least one.

    Returns:
        The spread; standard errors are delete-a-block jackknife.

    References:
        McCandlish et al. 2018, An Empirical Model of Large-Batch Training, arXiv 1812.06162, appendix A.
    """
    squares = torch.stack([sample.squares[layer.name] for layer in layers]).sum(0)
    rest = torch.stack([sample.rest[layer.name] for layer in layers]).sum(0)
    mean_square = sum(
        float(sample.mean[name].square().sum(dtype=torch.float64)) for layer in layers for name in layer.names
    )
    n = sample.n
    whole = _spread(n, float(squares.sum()), mean_square)
    sizes = sample.sizes
    block_squares = torch.stack([part.sum() for part in torch.split(squares, sizes.tolist())])
    left = leave_out(block_squares).tolist()
    counts = (n - sizes).tolist()
    if min(counts) < 2:
        return whole
    without = [_spread(m, s, float(r) / m**2) for m, s, r in zip(counts, left, rest, strict=True)]
    errors = {}
    for name in whole.errors:
        others = torch.tensor([getattr(part, name) for part in without], dtype=torch.float64)
        errors[name] = jackknife_error(getattr(whole, name), others, sizes)
    return replace(whole, errors=errors)


def _spread(n: int, squares: float, mean_square: float) -> Spread:
    trace = (squares - n * mean_square) / (n - 1) if n > 1 else math.nan
    trace = 0.0 if trace < 0 else trace
    return Spread(
        n, mean_square, trace, mean_square - trace / n, dict.fromkeys(("norm", "trace", "noise_scale", "snr"))
    )
