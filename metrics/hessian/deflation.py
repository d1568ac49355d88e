"""The largest eigenvalues of a symmetric operator, checked for ones that a single start has missed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metrics.hessian.lanczos import Operator, Ritz, lanczos

# A value counts as missed if it is larger than the last by this part: less would be rounding.
_SLACK = 0.003


@dataclass(frozen=True)
class Deflated:
    """Eigenvalues that are known, and what random vectors say about the rest.

    Attributes:
        values: eigenvalues of largest magnitude, largest first, at most as many as were asked for.
        converged: which of them can be relied on, value and rank, the same shape.
        known: all eigenvalues that have converged, shape (k,).
        rest: runs from independent vectors of signs, on what is orthogonal to the known ones' eigenvectors.
    """

    values: np.ndarray
    converged: np.ndarray
    known: np.ndarray
    rest: list[Ritz]


def checked_eigenvalues(
    operator: Operator,
    first: Ritz,
    draw: Callable[[], Tensor],
    count: int,
    tolerance: float,
    steps: int,
    checks: tuple[int, int],
) -> Deflated:
    """Return the largest eigenvalues that a run found, after looking for others in what is orthogonal to them.

    Lanczos finds an eigenvalue only as far as the start has a part along its eigenvector: of eigenvalues that are equal
    it finds one, and one whose part happens to be small comes late or not at all, so that the next ones take its rank.
    New random vectors without the eigenvectors found so far have none of the same blind spots; if one of them comes
    upon a larger value than the last that was asked for, that is followed until it has converged, and the search
    begins again.

    Args:
        operator: vector (d,) -> H vector.
        first: a run that was to find the ``count`` largest.
        draw: returns a new vector of random signs, shape (d,).
        count: how many eigenvalues are wanted.
        tolerance: see :meth:`metrics.hessian.lanczos.Ritz.converged`.
        steps: products at most until a value has converged.
        checks: how many new vectors, 1 or more, and how many products with each.

    References:
        Parlett 1998, The Symmetric Eigenvalue Problem, ch. 13.
    """
    size, scale = first.basis.shape[1], float(np.abs(first.values).max())
    slack = tolerance * scale
    kept = np.flatnonzero(first.known(slack))
    known, vectors = first.values[kept], first.vectors(kept)
    pending = first.values[np.setdiff1d(first.largest(count), kept)]
    rest: list[Ritz] = []
    # Each value that is found takes one of the ranks, so that nothing is left to find after so many.
    for left in range(count, -1, -1):
        if len(known) >= size:
            return _ranked(known, pending, count, [])
        rest = [lanczos(operator, draw(), checks[1], without=vectors) for _ in range(checks[0])]
        best = max(rest, key=_norm)
        last = np.sort(np.abs(known))[-count] if len(known) >= count else 0.0
        if len(pending) or _norm(best) <= (1 + _SLACK) * last + _SLACK**2 * scale:
            break
        longer = lanczos(operator, best.vectors(best.largest(1))[0], steps, 1, slack / _norm(best), without=vectors)
        found = np.flatnonzero(longer.known(slack))
        if not left or not len(found):
            pending = longer.values[longer.largest(1)]
            break
        known, vectors = np.concatenate([known, longer.values[found]]), torch.cat([vectors, longer.vectors(found)])
    return _ranked(known, pending, count, rest)


def _norm(run: Ritz) -> float:
    return float(np.abs(run.values).max())


def _ranked(known: np.ndarray, pending: np.ndarray, count: int, rest: list[Ritz]) -> Deflated:
    """Put values in order; what has not converged may be larger than it seems, so that lower ranks are uncertain."""
    values = np.concatenate([known, pending])
    order = np.argsort(-np.abs(values), kind="stable")[:count]
    certain = np.logical_and.accumulate(order < len(known))
    return Deflated(values[order], certain, known, rest)
