"""Lanczos' method: a symmetric operator seen from one vector, as a small tridiagonal matrix."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

# The part of a value itself that a residual may be: the value is then known to about its square over the gap to others.
_OWN_SHARE = 0.02
_ROUNDING = 1e-5

Operator = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Ritz:
    """What m steps from a unit vector v say about a symmetric matrix H.

    Attributes:
        diagonal, below: the tridiagonal matrix, shape (m,) each; ``below[m − 1]`` is the length of what was left.
        values: its eigenvalues θ (Ritz values), ascending, shape (m,).
        weights: squared first components of its eigenvectors, shape (m,): Σ weights · f(θ) ≈ vᵀ f(H) v, exactly for
            polynomials f of degree 2m − 1 or less.
        residuals: ‖H y − θ y‖ of the Ritz vectors y, shape (m,): an eigenvalue of H lies within that of θ.
        complete: whether the steps ended because v's part of the spectrum was found whole.
        basis: the m orthonormal vectors, shape (m, d).
    """

    diagonal: np.ndarray
    below: np.ndarray
    values: np.ndarray
    weights: np.ndarray
    residuals: np.ndarray
    complete: bool
    basis: Tensor

    def largest(self, count: int) -> np.ndarray:
        """Return the places of the values of largest magnitude, at most ``count``, largest first."""
        return np.argsort(-np.abs(self.values), kind="stable")[:count]

    def converged(self, count: int, tolerance: float) -> np.ndarray:
        """Say for each of the largest values whether it is known to ``tolerance``, see :meth:`known`."""
        places = self.largest(count)
        return np.asarray(self.known(tolerance * float(np.abs(self.values).max()))[places])

    def known(self, slack: float) -> np.ndarray:
        """Say for every value whether its residual is at most ``slack``, and 2 % of the value or rounding."""
        least = _ROUNDING * float(np.abs(self.values).max())
        return np.asarray(self.residuals <= np.minimum(slack, np.maximum(_OWN_SHARE * np.abs(self.values), least)))

    def vectors(self, places: np.ndarray) -> Tensor:
        """Return the Ritz vectors y of some values, shape (len(places), d)."""
        rotation = eigh_tridiagonal(self.diagonal, self.below[:-1])[1][:, places]
        return torch.tensor(rotation.T, dtype=self.basis.dtype, device=self.basis.device) @ self.basis


def lanczos(
    operator: Operator,
    start: Tensor,
    steps: int,
    wanted: int = 0,
    tolerance: float = 0.0,
    without: Tensor | None = None,
) -> Ritz:
    """Return the Ritz values of a symmetric operator, with full reorthogonalisation.

    Args:
        operator: vector (d,) -> H vector.
        start: the first vector, shape (d,), any length but 0; its precision is that of the vectors.
        steps: products at most; fewer if d is smaller or an invariant subspace is found.
        wanted: stop as soon as so many of the largest values have converged (0: take all steps).
        tolerance: what converged means, see :meth:`Ritz.converged`.
        without: orthonormal vectors, shape (k, d), k < d: the operator is restricted to what is orthogonal to them.

    Raises:
        ValueError: a product is not finite.

    References:
        Lanczos 1950; Golub & Van Loan 2013, Matrix Computations, ch. 10; Golub & Meurant 2010, Matrices, Moments and
        Quadrature (the weights).
    """
    size = len(start)
    known = torch.empty(0, size, dtype=start.dtype, device=start.device) if without is None else without
    steps = min(steps, size - len(known))
    basis = torch.empty(len(known) + steps, size, dtype=start.dtype, device=start.device)
    basis[: len(known)] = known
    first = _outside(known, _outside(known, start / _norm(start))) if len(known) else start
    basis[len(known)] = first / _norm(first)
    diagonal: list[float] = []
    below: list[float] = []
    for step in range(steps):
        place = len(known) + step
        vector = operator(basis[place])
        if not bool(vector.isfinite().all()):
            raise ValueError("a product with the Hessian is not finite")
        coefficients = basis[: place + 1] @ vector
        diagonal.append(float(coefficients[place]))
        # Once more, because rounding leaves a part of the earlier vectors in.
        vector = _outside(basis[: place + 1], vector - coefficients @ basis[: place + 1])
        below.append(_norm(vector))
        found = _ritz(diagonal, below, basis[len(known) : place + 1])
        if found.complete or step == steps - 1:
            break
        if 0 < wanted < step and bool(found.converged(wanted, tolerance).all()):
            break
        basis[place + 1] = vector / below[-1]
    return found


def _ritz(diagonal: list[float], below: list[float], basis: Tensor) -> Ritz:
    lengths = np.array(below)
    values, vectors = eigh_tridiagonal(np.array(diagonal), lengths[:-1])
    complete = below[-1] <= 1e-6 * float(np.abs(values).max())
    residuals = below[-1] * np.abs(vectors[-1])
    return Ritz(np.array(diagonal), lengths, values, vectors[0] ** 2, residuals, complete, basis)


def _outside(rows: Tensor, vector: Tensor) -> Tensor:
    """Return a vector without its part in the span of orthonormal rows."""
    return vector - (rows @ vector) @ rows


def _norm(vector: Tensor) -> float:
    return float(vector.square().sum(dtype=torch.float64).sqrt())
