"""By how much a representation is nearer to the anchor of its class than to any other."""

import torch
from torch import Tensor


def anchor_margins(cosines: Tensor) -> Tensor:
    """Return cos(h_i, e_c) − max_{k ≠ c} cos(h_i, e_k), each class c taken for the label; the mean is the margin.

    Positive where the label's anchor is the nearest of all.

    Args:
        cosines: of examples and anchors, shape (n, C), C ≥ 2.

    Returns:
        Shape (n, C), float64, in [−2, 2].

    Examples:
        >>> import torch
        >>> anchor_margins(torch.tensor([[0.9, 0.5, 0.1]])).round(decimals=6).tolist()
        [[0.4, -0.4, -0.8]]
    """
    wide = cosines.double()
    two, places = wide.topk(2, 1)
    is_first = torch.arange(wide.shape[1]) == places[:, :1]
    return wide - torch.where(is_first, two[:, 1:], two[:, :1])
