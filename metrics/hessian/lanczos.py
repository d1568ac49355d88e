"""Lanczos' method: a symmetric operator seen from one vector, as a small tridiagonal matrix."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

Operator = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Ritz:
    """What m steps from a unit vector v say about a symmetric matrix H.

    Attributes:
        values: eigenvalues θ of the tridiagonal matrix (Ritz values), ascending, shape (m,).
        weights: squared first components of its eigenvectors, shape (m,): Σ weights · f(θ) ≈ vᵀ f(H) v, exactly for
            polynomials f of degree 2m − 1 or less.
        residuals: ‖H y − θ y‖ of the Ritz vectors y, shape (m,): an eigenvalue of H lies within that of θ.
        complete: whether the steps ended because v's part of the spectrum was found whole.
    """

    values: np.ndarray
    weights: np.ndarray
    residuals: np.ndarray
    complete: bool

    def largest(self, count: int) -> np.ndarray:
        """Return the places of the values of largest magnitude, at most ``count``, largest first."""
        return np.argsort(-np.abs(self.values), kind="stable")[:count]

    def converged(self, count: int, tolerance: float) -> np.ndarray:
        """Say for each of the largest values whether its residual is within ``tolerance`` of the largest of all."""
        scale = float(np.abs(self.values).max())
        return np.asarray(self.residuals[self.largest(count)] <= tolerance * scale)


def lanczos(operator: Operator, start: Tensor, steps: int, wanted: int = 0, tolerance: float = 0.0) -> Ritz:
    """Return the Ritz values of a symmetric operator, with full reorthogonalisation.

    Args:
        operator: vector (d,) -> H vector.
        start: the first vector, shape (d,), any length but 0; its precision is that of the vectors.
        steps: products at most; fewer if d is smaller or an invariant subspace is found.
        wanted: stop as soon as so many of the largest values have converged (0: take all steps).
        tolerance: what converged means, see :meth:`Ritz.converged`.

    Raises:
        ValueError: a product is not finite.

    References:
        Lanczos 1950; Golub & Van Loan 2013, Matrix Computations, ch. 10; Golub & Meurant 2010, Matrices, Moments and
        Quadrature (the weights).
    """
    size = len(start)
    steps = min(steps, size)
    basis = torch.empty(steps, size, dtype=start.dtype, device=start.device)
    basis[0] = start / _norm(start)
    diagonal: list[float] = []
    below: list[float] = []
    for step in range(steps):
        vector = operator(basis[step])
        if not bool(vector.isfinite().all()):
            raise ValueError("a product with the Hessian is not finite")
        coefficients = basis[: step + 1] @ vector
        diagonal.append(float(coefficients[step]))
        # Once more, because rounding leaves a part of the earlier vectors in.
        vector = vector - coefficients @ basis[: step + 1]
        vector -= (basis[: step + 1] @ vector) @ basis[: step + 1]
        below.append(_norm(vector))
        found = _ritz(diagonal, below)
        if found.complete or step == steps - 1:
            break
        if 0 < wanted < step and bool(found.converged(wanted, tolerance).all()):
            break
        basis[step + 1] = vector / below[-1]
    return found


def _ritz(diagonal: list[float], below: list[float]) -> Ritz:
    values, vectors = eigh_tridiagonal(np.array(diagonal), np.array(below[:-1]))
    complete = below[-1] <= 1e-6 * float(np.abs(values).max())
    return Ritz(values, vectors[0] ** 2, below[-1] * np.abs(vectors[-1]), complete)


def _norm(vector: Tensor) -> float:
    return float(vector.square().sum(dtype=torch.float64).sqrt())
