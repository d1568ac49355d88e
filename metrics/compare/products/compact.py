"""Representations in the fewest numbers that leave every comparison unchanged."""

import torch
from torch import Tensor


def compact(features: Tensor) -> Tensor:
    """Return a centred representation with at most n units and the same inner products between examples.

    With more units than examples, X (n, d) is replaced by X V, V an orthonormal basis of its row space (n, n or fewer
    columns): every comparison here is unchanged by rotations of the units, so nothing is lost but numbers to send.

    Args:
        features: shape (n, units), or (n, positions, units).

    Returns:
        float32, shape (n, min(n, units)), or (n, positions, units) centred.

    Examples:
        >>> import torch
        >>> compact(torch.randn(10, 300, generator=torch.Generator().manual_seed(0))).shape
        torch.Size([10, 10])
    """
    rows = features.double()
    centred = rows - rows.flatten(0, -2).mean(0)
    if features.ndim == 3 or features.shape[1] <= features.shape[0]:
        return centred.float()
    eigenvalues, vectors = torch.linalg.eigh(centred @ centred.T)
    found: Tensor = vectors * eigenvalues.clamp(min=0).sqrt()
    return found.float()
