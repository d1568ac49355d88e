"""What chance alone produces, in closed form: the moments of ⟨Ã, B̃⟩ over all permutations of one side's examples.

For matrices with zero diagonal and zero row sums, T = Σ_ij Ã_ij B̃_π(i)π(j) over a uniformly random permutation π of n
examples has mean 0 and, with q = Σ Ã_ij², s = Σ Ã_ij³, t = tr Ã³ (and q', s', t' of B̃), n^(k) = n(n−1)…(n−k+1):

    E T² = q q' (2/n^(2) + 4/n^(3) + 4/n^(4))
    E T³ = 4 s s'/n^(2) + (24 s s' + 8 t t')/n^(3) + (56 s s' + 24 (s−t)(s'−t'))/n^(4)
           + 48 (t−2s)(t'−2s')/n^(5) + 64 (2s−t)(2s'−t')/n^(6)

The sums run over how three pairs of examples can share examples. Its standard deviation in units of √(q q') depends on
n alone: about √2/n. The distribution is skewed, like a χ² with few degrees of freedom if few directions dominate, and
is taken to be of Pearson's type III with these moments.

References:
    Mantel 1967, The Detection of Disease Clustering and a Generalized Regression Approach, Cancer Research 27 (second
    moment); Kazi-Aoual et al. 1995, Refined Approximations to Permutation Tests for Multivariate Inference, CSDA 20;
    Josse, Pagès & Husson 2008, Testing the Significance of the RV Coefficient, CSDA 53 (Pearson's type III).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy.special import gammainc, gammaincc, gammaincinv, ndtr, ndtri
from torch import Tensor

from metrics.compare.products.centred import Centred

# Beyond it the tail of the fitted distribution says nothing about the permutations'.
SMALLEST_P = 1e-6
_BLOCK_BYTES = 2**25
# Of smaller skewness Pearson's type III is the normal distribution, to all digits.
_NORMAL = 1.6e-5


@dataclass(frozen=True)
class Cubes:
    """Third-order sums of one U-centred Gram matrix, in units of q^(3/2)."""

    elements: float
    trace: float


def cubes(item: Centred) -> Cubes:
    """Return Σ Ã_ij³ and tr Ã³ of an item, both over (Σ Ã_ij²)^(3/2).

    The cost is that of one or two products of an N × N matrix.
    """
    elements, squares = _elements(item)
    trace = _trace_by_units(item) if item.rows.shape[1] < len(item.rows) else _trace_by_rows(item)
    return Cubes(elements / squares**1.5, trace / squares**1.5)


def _trace_by_units(item: Centred) -> float:
    """Return tr Ã³ from P = Ã + diag(d) = W S Wᵀ, where W = (X, 1, u) is narrow."""
    x, u, c = item.rows, item.shift, item.constant
    diagonal = item.squares + 2 * u - c
    ends = torch.stack([torch.ones_like(u), u], 1)
    w = torch.cat([x, ends], 1)
    across = x.T @ ends
    inner = _last_two(torch.cat([torch.cat([item.inner, across], 1), torch.cat([across.T, ends.T @ ends], 1)]), c)
    square = ((_last_two(w.T, c).T @ inner.T) * w).sum(1)
    cubed = ((inner @ inner) * inner.T).sum()
    return float(cubed - 3 * square @ diagonal + 2 * diagonal.pow(3).sum())


def _last_two(matrix: Tensor, c: Tensor) -> Tensor:
    """Return S M, S being the identity but for its last two rows, which are (−c, 1) and (1, 0)."""
    return torch.cat([matrix[:-2], (-c * matrix[-2] + matrix[-1])[None], matrix[-2:-1]])


def _trace_by_rows(item: Centred) -> float:
    """Return tr Ã³ from the matrix itself."""
    matrix = _rows_of(item, 0, len(item.rows))
    return float(((matrix @ matrix) * matrix).sum(dtype=torch.float64))


def _elements(item: Centred) -> tuple[float, float]:
    """Return Σ Ã_ij³ and Σ Ã_ij² from blocks of rows."""
    count, elements, squares = len(item.rows), 0.0, 0.0
    block = max(1, _BLOCK_BYTES // (4 * count))
    for start, end in pairwise([*range(0, count, block), count]):
        rows = _rows_of(item, start, end)
        squared = rows.square()
        squares += float(squared.sum(1).sum(dtype=torch.float64))
        elements += float(torch.linalg.vecdot(squared, rows).sum(dtype=torch.float64))
    return elements, squares


def _rows_of(item: Centred, start: int, end: int) -> Tensor:
    """Return rows of Ã in float32, which is enough for a skewness."""
    held, shift = item.rows.float(), item.shift.float()[:, None]
    one = torch.ones_like(shift)
    # The shifts as two units more: added afterwards they would cost as much as the product.
    own = torch.cat([held[start:end], one[start:end], shift[start:end] - item.constant.float()], 1)
    rows = own @ torch.cat([held, shift, one], 1).T
    rows[torch.arange(end - start), torch.arange(start, end)] = 0
    return rows


def null_deviation(count: int) -> float:
    """Return the standard deviation of debiased CKA over permutations of ``count`` ≥ 4 examples: about √2/n."""
    two, three, four = (_falling(count, k) for k in (2, 3, 4))
    return float(np.sqrt(2 / two + 4 / three + 4 / four))


def skewness(a: Sequence[Cubes], b: Sequence[Cubes], count: int) -> np.ndarray:
    """Return the skewness of debiased CKA of two representations over permutations of ``count`` ≥ 6 examples.

    Args:
        a: of the first representation of each pair.
        b: of the second, likewise.
        count: how many examples there are.

    Examples:
        >>> from metrics.compare.chance.permutation_null import Cubes
        >>> skewness([Cubes(0.1, 0.3)], [Cubes(0.1, 0.3)], 100).round(2).tolist()
        [1.7]
    """
    (s, t), (s2, t2) = (np.array([(one.elements, one.trace) for one in side]).reshape(-1, 2).T for side in (a, b))
    two, three, four, five, six = (_falling(count, k) for k in (2, 3, 4, 5, 6))
    third = 4 * s * s2 / two + (24 * s * s2 + 8 * t * t2) / three
    third += (56 * s * s2 + 24 * (s - t) * (s2 - t2)) / four
    third += 48 * (t - 2 * s) * (t2 - 2 * s2) / five + 64 * (2 * s - t) * (2 * s2 - t2) / six
    found: np.ndarray = third / null_deviation(count) ** 3
    return found


def null_band(values: np.ndarray, skews: np.ndarray, deviation: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % quantile of the null and the p value of each observed value, neither below ``SMALLEST_P``.

    Args:
        values: observed debiased CKA, shape (m,).
        skews: of the permutation distribution, shape (m,).
        deviation: its standard deviation; its mean is 0.

    Examples:
        >>> import numpy as np
        >>> end, p = null_band(np.array([0.3]), np.array([0.0]), 0.1)
        >>> end.round(3).tolist(), p.round(3).tolist()
        ([0.164], [0.001])
    """
    # scipy.stats has the distribution (pearson3) and takes half a second to import, which every run would spend.
    scaled = values / deviation
    end, p = np.full(skews.shape, ndtri(0.95)), ndtr(-scaled)
    for chosen, quantile, beyond in ((skews >= _NORMAL, 0.95, gammaincc), (skews <= -_NORMAL, 1 - 0.95, gammainc)):
        rate = 2 / skews[chosen]
        shape, start = rate**2, -(rate**2) / rate
        end[chosen] = gammaincinv(shape, quantile) / rate + start
        # Where the distribution does not reach it is 0 or 1, as at its end.
        p[chosen] = beyond(shape, np.maximum(rate * (scaled[chosen] - start), 0))
    unknown = ~(np.isfinite(skews) & (deviation > 0))
    end[unknown], p[unknown] = np.nan, np.nan
    return end * deviation, np.maximum(p, SMALLEST_P)


def _falling(count: int, factors: int) -> float:
    return float(np.prod([float(count - k) for k in range(factors)]))
