"""Everything about one layer's Hessian block, from as few products as it takes."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metrics.hessian.deflation import checked_eigenvalues
from metrics.hessian.density import Summaries, spectral_density, summaries
from metrics.hessian.lanczos import lanczos
from metrics.hessian.trace import BlockOperator, TraceEstimate, hutchinson, moments, signs

# Columns of a block that are computed at a time.
_COLUMNS = 64
# New starts and products with each behind the largest eigenvalues, where there is no density to share them with.
_CHECKS = (1, 10)


@dataclass(frozen=True)
class Effort:
    """How much is spent on one block.

    Attributes:
        eigenvalues: how many of the largest are wanted.
        steps: Lanczos steps at most until they have converged.
        tolerance: a value has converged when its residual is so small a part of the largest.
        probes: fewest and most probes for the trace.
        trace_tolerance: standard error of the trace, as a part of it, that ends the probing.
        density_runs: Lanczos runs behind the density, beside the one for the eigenvalues; 0 for no density.
        density_steps: steps of each.
        dense_below: a block of so many parameters or fewer is computed whole.
    """

    eigenvalues: int
    steps: int
    tolerance: float
    probes: tuple[int, int]
    trace_tolerance: float
    density_runs: int
    density_steps: int
    dense_below: int


@dataclass(frozen=True)
class HessianBlock:
    """What is known of one block.

    Attributes:
        size: number of parameters d.
        trace: trace and Frobenius norm.
        top: the eigenvalues of largest magnitude with their signs, largest first.
        converged: which of them can be relied on, the same shape.
        summaries, density: of the whole spectrum; None if not asked for.
        condition: largest over smallest singular value; NaN if that is not known or the block is singular.
        exact: whether the block was computed whole.
    """

    size: int
    trace: TraceEstimate
    top: np.ndarray
    converged: np.ndarray
    summaries: Summaries | None
    density: tuple[np.ndarray, np.ndarray] | None
    condition: float
    exact: bool


def analyse_block(operator: BlockOperator, like: Tensor, effort: Effort, generator: torch.Generator) -> HessianBlock:
    """Return what an effort finds out about a symmetric operator.

    Args:
        operator: vectors (k, d) -> H of each, (k, d).
        like: a tensor of d numbers on the device and in the precision to work in.
        effort: how much is spent.
        generator: of the random signs.

    Raises:
        ValueError: a product is not finite.
    """
    if like.numel() <= effort.dense_below:
        return _whole(operator, like, effort)
    size = like.numel()

    def draw(count: int) -> Tensor:
        return signs(count, size, generator).to(like)

    def single(vector: Tensor) -> Tensor:
        return operator(vector[None])[0]

    first = lanczos(single, draw(1)[0], effort.steps, effort.eigenvalues, effort.tolerance)
    # With signs for v, vᵀHv and ‖Hv‖² are d times the first two moments of the Ritz values.
    known = [(size * float(first.weights @ first.values), size * float(first.weights @ first.values**2))]
    if effort.density_runs > 1:
        # A probe by itself, so that traces are those of version 0.1.
        known.append(moments(single, draw(1)[0]))
    trace = hutchinson(operator, draw, *effort.probes, effort.trace_tolerance, known)
    checks = (effort.density_runs, effort.density_steps) if effort.density_runs else _CHECKS
    found = checked_eigenvalues(
        single, first, lambda: draw(1)[0], effort.eigenvalues, effort.tolerance, effort.steps, checks
    )
    return HessianBlock(
        size=size,
        trace=trace,
        top=found.values,
        converged=found.converged,
        summaries=summaries(found.known, found.rest, size) if effort.density_runs else None,
        density=spectral_density(found.known, found.rest, size) if effort.density_runs else None,
        condition=float("nan"),
        exact=False,
    )


def _whole(operator: BlockOperator, like: Tensor, effort: Effort) -> HessianBlock:
    """Compute a block column by column; every number is exact but for rounding."""
    size = like.numel()
    columns = torch.split(torch.eye(size, dtype=like.dtype, device=like.device), _COLUMNS)
    matrix = torch.cat([operator(part) for part in columns]).double().cpu()
    if not bool(matrix.isfinite().all()):
        raise ValueError("a product with the Hessian is not finite")
    values = torch.linalg.eigvalsh((matrix + matrix.T) / 2).numpy()
    places = np.argsort(-np.abs(values), kind="stable")[: effort.eigenvalues]
    singular = np.sort(np.abs(values))
    rounding = size * float(torch.finfo(like.dtype).eps) * singular[-1]
    return HessianBlock(
        size=size,
        trace=TraceEstimate(float(values.sum()), 0.0, float(np.sqrt((values**2).sum())), 0.0, size),
        top=values[places],
        converged=np.full(len(places), fill_value=True),
        summaries=summaries(values, [], size) if effort.density_runs else None,
        density=spectral_density(values, [], size) if effort.density_runs else None,
        condition=float(singular[-1] / singular[0]) if singular[0] > rounding else float("nan"),
        exact=True,
    )
