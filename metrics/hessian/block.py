"""Everything about one layer's Hessian block, from as few products as it takes."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metrics.hessian.density import Summaries, spectral_density, summaries
from metrics.hessian.lanczos import Ritz, lanczos
from metrics.hessian.trace import BlockOperator, TraceEstimate, hutchinson, signs


@dataclass(frozen=True)
class Effort:
    """How much is spent on one block.

    Attributes:
        eigenvalues: how many of the largest are wanted.
        steps: Lanczos steps at most until they have converged.
        tolerance: a value has converged when its residual is so small a part of the largest.
        probes: fewest and most probes for the trace.
        trace_tolerance: standard error of the trace, as a part of it, that ends the probing.
        density_runs: Lanczos runs behind the density, the one for the eigenvalues included; 0 for no density.
        density_steps: steps of each further one.
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
class Block:
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


def analyse_block(operator: BlockOperator, like: Tensor, effort: Effort, generator: torch.Generator) -> Block:
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

    runs = [lanczos(single, draw(1)[0], effort.steps, effort.eigenvalues, effort.tolerance)]
    runs += [lanczos(single, draw(1)[0], effort.density_steps) for _ in range(effort.density_runs - 1)]
    # With signs for v, vᵀHv and ‖Hv‖² are d times the first two moments of the Ritz values.
    known = [(size * float(run.weights @ run.values), size * float(run.weights @ run.values**2)) for run in runs]
    trace = hutchinson(operator, draw, *effort.probes, effort.trace_tolerance, known)
    places = runs[0].largest(effort.eigenvalues)
    return Block(
        size=size,
        trace=trace,
        top=runs[0].values[places],
        converged=runs[0].converged(effort.eigenvalues, effort.tolerance),
        summaries=summaries(runs, size, exact=False) if effort.density_runs else None,
        density=spectral_density(runs) if effort.density_runs else None,
        condition=float("nan"),
        exact=False,
    )


def _whole(operator: BlockOperator, like: Tensor, effort: Effort) -> Block:
    """Compute a block column by column; every number is exact but for rounding."""
    size = like.numel()
    matrix = operator(torch.eye(size, dtype=like.dtype, device=like.device)).double().cpu()
    if not bool(matrix.isfinite().all()):
        raise ValueError("a product with the Hessian is not finite")
    values = torch.linalg.eigvalsh((matrix + matrix.T) / 2).numpy()
    run = Ritz(values, np.full(size, 1 / size), np.zeros(size), complete=True)
    places = run.largest(effort.eigenvalues)
    singular = np.sort(np.abs(values))
    rounding = size * float(torch.finfo(like.dtype).eps) * singular[-1]
    return Block(
        size=size,
        trace=TraceEstimate(float(values.sum()), 0.0, float(np.sqrt((values**2).sum())), 0.0, size),
        top=values[places],
        converged=np.full(len(places), fill_value=True),
        summaries=summaries([run], size, exact=True) if effort.density_runs else None,
        density=spectral_density([run]) if effort.density_runs else None,
        condition=float(singular[-1] / singular[0]) if singular[0] > rounding else float("nan"),
        exact=True,
    )
