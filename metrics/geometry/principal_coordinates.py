"""A representation in its principal coordinates: centred, in float64, in as few columns as it has directions."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from metrics.array_arguments import takes_arrays
from metrics.compare.products.principal import principal

# A unit varies if its standard deviation is above float32's resolution of its size; below there is only rounding.
_RESOLUTION = 2.0**-23


@dataclass(frozen=True)
class Scatter:
    """Count, mean and scatter matrix of some examples.

    Attributes:
        count: m.
        mean: x̄, shape (r,), float64.
        products: A = Σ (x_i − x̄)(x_i − x̄)ᵀ, shape (r, r), float64.
    """

    count: int
    mean: Tensor
    products: Tensor


@dataclass(frozen=True)
class PrincipalCoordinates:
    """The examples of one representation, rotated so that its r directions of variance are the columns.

    All distances and angles between examples are those of the centred representation, so whatever no rotation of the
    units changes can be computed from here.

    Attributes:
        rows: z_i, shape (n, r), float64; every column has mean 0, and columns are uncorrelated.
        variances: the eigenvalues λ_j > 0 of S = Σ (x_i − x̄)(x_i − x̄)ᵀ / (n − 1), shape (r,), descending;
            r ≤ min(n − 1, d), what is zero to rounding being left out.
        units: d.
    """

    rows: Tensor
    variances: Tensor
    units: int

    def without(self, left_out: Tensor) -> Scatter:
        """Return mean and scatter of all examples but some; costs r² times the number left out.

        Args:
            left_out: indices of the others, shape (m,), m < n.
        """
        part, count = self.rows[left_out], len(self.rows) - len(left_out)
        mean = -part.sum(0) / count
        products = -(part.T @ part) - count * torch.outer(mean, mean)
        products.diagonal().add_((len(self.rows) - 1) * self.variances)
        return Scatter(count, mean, products)

    def error(self, slopes: Tensor) -> float:
        """Return the standard error over examples of a function f of the eigenvalues of S, to first order.

        The infinitesimal jackknife: the standard deviation over examples of Σ_j ∂f/∂λ_j z_ij², over √n.

        Args:
            slopes: ∂f/∂λ_j, shape (r,).

        References:
            Jaeckel 1972, The Infinitesimal Jackknife, Bell Laboratories.
        """
        return float((self.rows.square() @ slopes).std()) / math.sqrt(len(self.rows))


@takes_arrays
def why_undefined(features: Tensor) -> str | None:
    """Return why a representation has no geometry, None if it has.

    Args:
        features: shape (n, d).

    Examples:
        >>> import torch
        >>> why_undefined(torch.ones(10, 3))
        'the output is the same for all examples'
    """
    if len(features) < 4:
        return f"4 examples or more are needed, got {len(features)}"
    rows = features.double()
    deviations, squares = (rows - rows.mean(0)).square().sum(0), rows.square().sum(0)
    return None if bool((deviations > _RESOLUTION**2 * squares).any()) else "the output is the same for all examples"


@takes_arrays
def principal_coordinates(features: Tensor) -> PrincipalCoordinates:
    """Return the principal coordinates of a representation.

    X is centred in float64 first: what is left of a large mean must not be rounded.

    Args:
        features: shape (n, d); :func:`why_undefined` must be None.

    Examples:
        >>> import torch
        >>> x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 3.0], [0.0, -3.0]], dtype=torch.float64)
        >>> principal_coordinates(x).variances.round(decimals=4).tolist()
        [6.0, 0.6667]
    """
    wide = features.double()
    rows, squares = principal(wide - wide.mean(0))
    n, units = features.shape
    # Eigenvalues of a product of matrices are known to this part of the largest.
    kept = squares > max(n, units) * torch.finfo(torch.float64).eps * squares[0]
    return PrincipalCoordinates(rows[:, kept], squares[kept] / (n - 1), units)
