"""What a map of attention weights says: how focused each head is, how far it looks, and where layers lead together."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class HeadStatistics:
    """Means over examples and rows (queries) that attend to anything, a number for each head, shape (H,).

    Attributes:
        entropy: −Σ_j a_j ln a_j of a row a, in nat; 0 if it looks at one place.
        span: exp of the row's entropy: over how many places it spreads.
        distance: Σ_j a_j |i − j| of row i, in places; only where rows and columns are the same places, else NaN.
        peak: the largest weight of a row.
        rows: how many rows were averaged.
    """

    entropy: Tensor
    span: Tensor
    distance: Tensor
    peak: Tensor
    rows: int


def head_statistics(weights: Tensor) -> HeadStatistics:
    """Return how each head attends.

    Rows are averaged after the quantity is computed, so that a focused head stays focused. Rows without weights (all
    keys masked: zeros or NaN) are left out.

    Args:
        weights: shape (n, H, Q, K), rows sum to 1.

    References:
        Clark et al. 2019, What Does BERT Look At (entropy); Vig & Belinkov 2019, Analyzing the Structure of Attention
        in a Transformer Language Model (distance).

    Examples:
        >>> found = head_statistics(torch.eye(4).reshape(1, 1, 4, 4))
        >>> found.entropy.tolist(), found.span.tolist(), found.distance.tolist()
        ([0.0], [1.0], [0.0])
    """
    weights = weights.to(torch.float64)
    there = weights.isfinite().all(-1) & (weights.sum(-1) > 0)
    clean = torch.where(there.unsqueeze(-1), weights, 0.0)
    entropy = -torch.xlogy(clean, clean).sum(-1)
    queries, keys = weights.shape[-2:]
    gaps = (torch.arange(queries).unsqueeze(1) - torch.arange(keys)).abs().to(clean)
    rows = there.sum((0, 2))

    def mean(values: Tensor) -> Tensor:
        return torch.where(there, values, 0.0).sum((0, 2)) / rows

    distance = (
        mean((clean * gaps).sum(-1)) if queries == keys else torch.full_like(rows, torch.nan, dtype=torch.float64)
    )
    return HeadStatistics(mean(entropy), mean(entropy.exp()), distance, mean(clean.amax(-1)), int(rows.max()))


def rollout(layers: Sequence[Tensor]) -> Tensor:
    """Return how much of each input place reaches each output place: the product of ½ A + ½ I over layers.

    Args:
        layers: the mean over heads of each layer's weights, the first layer first, shape (n, L, L) each.

    Returns:
        Shape (n, L, L), rows sum to 1.

    References:
        Abnar & Zuidema 2020, Quantifying Attention Flow in Transformers.

    Examples:
        >>> rollout([torch.full((1, 2, 2), 0.5)]).tolist()
        [[[0.75, 0.25], [0.25, 0.75]]]
    """
    total: Tensor | None = None
    for weights in layers:
        clean = weights.nan_to_num(0.0)
        mixed = clean + torch.eye(clean.shape[-1], dtype=clean.dtype, device=clean.device)
        mixed = mixed / mixed.sum(-1, keepdim=True)
        total = mixed if total is None else mixed @ total
    if total is None:
        raise ValueError("layers must be one or more maps, got none")
    return total


def pooled(weights: Tensor, most: int) -> Tensor:
    """Return maps, shape (…, Q, K), with at most so many rows and columns: columns of a block added, rows averaged.

    Examples:
        >>> pooled(torch.eye(4), 2).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    queries, keys = weights.shape[-2:]
    if max(queries, keys) <= most:
        return weights
    rows, columns = min(queries, most), min(keys, most)
    # Rows still sum to 1.
    blocks = weights.nan_to_num(0.0).reshape(1, -1, queries, keys)
    across = torch.nn.functional.adaptive_avg_pool2d(blocks, (rows, columns))
    across = across.reshape(*weights.shape[:-2], rows, columns)
    return across / across.sum(-1, keepdim=True).clamp(min=1e-30)
