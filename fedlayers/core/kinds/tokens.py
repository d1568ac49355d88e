"""Token data: examples are sequences of integers, codes of words, filled up with padding to equal lengths.

The mask needs no array of its own: a position counts where its code is not :data:`PADDING`.
"""

import torch
from torch import Tensor

# The first two codes of every vocabulary.
PADDING, UNKNOWN = 0, 1
RESERVED = ("<pad>", "<unknown>")
_INTEGERS = (torch.int16, torch.int32, torch.int64)


def is_tokens(features: Tensor) -> bool:
    """Return whether features are tokens: integers other than bytes, of which images are made."""
    return features.dtype in _INTEGERS


def mask_of(features: Tensor) -> Tensor | None:
    """Return which positions of token features (n, length) are no padding, bool; None for features that are no tokens.

    >>> mask_of(torch.tensor([[5, 2, 0]])).tolist(), mask_of(torch.zeros(1, 3))
    ([[True, True, False]], None)
    """
    return features != PADDING if is_tokens(features) else None


def normalised(taken: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return ``taken * scale + shift`` as float32, computed in the dtype of ``scale``; tokens as int64, unchanged."""
    if is_tokens(taken):
        return taken.to(torch.int64)
    return taken.to(scale.dtype).mul_(scale).add_(shift).to(torch.float32)


def blank(count: int, shape: tuple[int, ...], tokens: bool, device: torch.device | None = None) -> Tensor:
    """Return examples to try a model out on, shape (count, *shape): zeros, or as many unknown words.

    >>> blank(1, (2,), tokens=True).tolist(), blank(1, (2,), tokens=False).tolist()
    ([[1, 1]], [[0.0, 0.0]])
    """
    if tokens:
        return torch.full((count, *shape), UNKNOWN, dtype=torch.int64, device=device)
    return torch.zeros(count, *shape, device=device)


def masked_mean(rows: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the positions of each example that count, shape (n, units).

    Args:
        rows: shape (n, length, units).
        mask: shape (n, length), bool; an example without any gives 0.

    >>> masked_mean(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[True, True, False]])).tolist()
    [[2.0]]
    """
    counted = mask.unsqueeze(-1)
    return rows.masked_fill(~counted, 0).sum(1) / counted.sum(1).clamp(min=1)
