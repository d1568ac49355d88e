"""Inner products of centred Gram matrices of many representations, and each example's part in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from metrics.compare.base import Pairs
from metrics.compare.products.centred import Centred

_MOST_BYTES = 2**25
# Above so many examples a full Gram matrix costs more than the error of minibatches is worth.
_MINIBATCH_ABOVE = 4000
_MINIBATCH = 1000


@dataclass(frozen=True)
class GramProducts:
    """⟨A, B⟩ = Σ_ij A_ij B_ij of centred Gram matrices, by the examples i that they come from.

    Attributes:
        own: ⟨A, A⟩ of every item by example, shape (items, n), float64.
        pair: ⟨A, B⟩ of every pair by example, shape (pairs, n), float64.
        minibatches: whether examples were compared within minibatches only.
    """

    own: Tensor
    pair: Tensor
    minibatches: bool = False


def gram_products(items: Sequence[Centred], pairs: Pairs, debiased: bool) -> GramProducts:
    """Return the inner products of items and pairs by the cheapest route.

    With X, Y centred, K = X Xᵀ and L = Y Yᵀ. Biased: A = K. Debiased: the U-centred Ã_ij = K_ij + u_i + u_j − c off
    the diagonal and 0 on it (:class:`metrics.compare.products.centred.Centred`); ⟨Ã, B̃⟩ / (N(N − 3)) is the unbiased
    HSIC_1.

    - Few units: from XᵀY, pair by pair, in float64; N·d² operations a pair.
    - Many units: one product of all Gram matrices; rows of the matrices are made and multiplied block by block, so
      that no whole matrix is held. N²·d operations an item, N² a pair. In float32, and again in float64 for what
      comes out nearly equal.
    - Many units and more than 4,000 examples: the same within minibatches of 1,000 examples, summed, where debiased
      (biased values would grow).

    Args:
        items: representations of the same examples with the same number of rows.
        pairs: places in ``items``.
        debiased: which centring.

    References:
        Song et al. 2012, Feature Selection via Dependence Maximization, JMLR 13 (HSIC_1); Székely & Rizzo 2014,
        Partial Distance Correlation, arXiv 1310.2926 (U-centring); Nguyen, Raghu & Kornblith 2021, Do Wide and Deep
        Networks Learn the Same Things?, arXiv 2010.15327 (minibatches).
    """
    count = len(items[0].rows)
    features = sum(_width(items[a]) * _width(items[b]) for a, b in [*pairs, *((i, i) for i in range(len(items)))])
    gram = count * (sum(_width(item) for item in items) + len(items) ** 2 / 2)
    if features <= gram:
        return _from_features(items, pairs, debiased)
    if debiased and items[0].examples > _MINIBATCH_ABOVE:
        return _in_minibatches(items, pairs)
    if any(item.precise for item in items):
        return _from_gram(items, pairs, debiased, torch.float64)
    rough = _from_gram(items, pairs, debiased, torch.float32)
    return _sharpened(rough, items, pairs, debiased)


def row_products(a: Centred, b: Centred, debiased: bool) -> Tensor:
    """Return Σ_j A_ij B_ij for every row i of two Gram matrices without making them, shape (N,), float64."""
    x, y = a.rows, b.rows
    product = ((x @ (a.inner if a is b else x.T @ y)) * y).sum(1)
    if not debiased:
        return product
    k, u, c = a.squares, a.shift, a.constant
    m, v, e = b.squares, b.shift, b.constant
    count = len(x)
    crossed = x @ (x.T @ v) - k * (2 * v - e) + y @ (y.T @ u) - m * (2 * u - c)
    p, q = u - c, v - e
    return product - k * m + crossed + (count - 1) * p * q + p * (v.sum() - v) + q * (u.sum() - u) + u @ v - u * v


def _width(item: Centred) -> int:
    return item.rows.shape[1]


def _from_features(items: Sequence[Centred], pairs: Pairs, debiased: bool) -> GramProducts:
    own = torch.stack([item.by_example(row_products(item, item, debiased)) for item in items])
    pair = [items[a].by_example(row_products(items[a], items[b], debiased)) for a, b in pairs]
    return GramProducts(own, torch.stack(pair))


def _from_gram(items: Sequence[Centred], pairs: Pairs, debiased: bool, dtype: torch.dtype) -> GramProducts:
    """Multiply the Gram matrices of all items row by row, in blocks of rows that fit the memory."""
    count, held = len(items[0].rows), [item.rows.to(dtype) for item in items]
    block = max(1, _MOST_BYTES // (len(items) * count * held[0].element_size()))
    first, second = (torch.tensor([pair[side] for pair in pairs], dtype=torch.long) for side in (0, 1))
    own, pair = [], []
    buffer = torch.empty(min(block, count), len(items), count, dtype=dtype)
    scratch = torch.empty(min(block, count), count, dtype=dtype)
    for start, end in pairwise([*range(0, count, block), count]):
        rows, part = buffer[: end - start], scratch[: end - start]
        for place, (item, x) in enumerate(zip(items, held, strict=True)):
            torch.mm(x[start:end], x.T, out=part)
            if debiased:
                part += item.shift[start:end, None].sub(item.constant).to(dtype)
                part += item.shift.to(dtype)
                part[torch.arange(end - start), torch.arange(start, end)] = 0
            rows[:, place] = part
        products = torch.bmm(rows, rows.transpose(1, 2)).double()
        # A view of it would keep all products.
        own.append(products.diagonal(dim1=1, dim2=2).clone())
        pair.append(products[:, first, second])
    by_example = items[0].by_example
    return GramProducts(by_example(torch.cat(own).T), by_example(torch.cat(pair).T))


def _in_minibatches(items: Sequence[Centred], pairs: Pairs) -> GramProducts:
    """Sum over minibatches of about 1,000 examples, each centred by itself."""
    examples, positions = items[0].examples, len(items[0].rows) // items[0].examples
    bounds = torch.linspace(0, examples, max(2, examples // _MINIBATCH + 1)).long().tolist()
    found = []
    for start, end in pairwise(bounds):
        parts = [item.rows[start * positions : end * positions] for item in items]
        own = [Centred(part - part.mean(0), end - start) for part in parts]
        found.append(_from_gram(own, pairs, debiased=True, dtype=torch.float32))
    return GramProducts(torch.cat([one.own for one in found], 1), torch.cat([one.pair for one in found], 1), True)


def _sharpened(rough: GramProducts, items: Sequence[Centred], pairs: Pairs, debiased: bool) -> GramProducts:
    """Compute again in float64 what is so nearly equal that float32 would show in the angle."""
    own = rough.own.sum(1)
    first, second = (torch.tensor([pair[side] for pair in pairs], dtype=torch.long) for side in (0, 1))
    cosines = rough.pair.sum(1) / (own[first] * own[second]).sqrt()
    close = torch.nonzero(cosines > 0.99).flatten().tolist()
    if not close:
        return rough
    used = sorted({place for index in close for place in pairs[index]})
    place_of = {place: index for index, place in enumerate(used)}
    again = [(place_of[pairs[index][0]], place_of[pairs[index][1]]) for index in close]
    exact = _from_gram([items[place] for place in used], again, debiased, torch.float64)
    rough.own[used], rough.pair[close] = exact.own, exact.pair
    return rough
