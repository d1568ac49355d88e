"""How well a representation points along the anchor of its class."""

from torch import Tensor
from torch.nn.functional import normalize


def anchor_cosines(features: Tensor, anchors: Tensor) -> Tensor:
    """Return cos(h_i, e_c) of every example and anchor; the mean over the labels is the alignment.

    A representation of zeros has no direction, and a cosine of 0 with every anchor.

    Args:
        features: h, shape (n, d).
        anchors: e, shape (C, d).

    Returns:
        Shape (n, C), float64, in [−1, 1].

    Examples:
        >>> import torch
        >>> anchor_cosines(torch.tensor([[3.0, 4.0]]), torch.eye(2)).round(decimals=6).tolist()
        [[0.6, 0.8]]
    """
    cosines: Tensor = normalize(features.double(), eps=1e-300) @ normalize(anchors.double(), eps=1e-300).T
    return cosines.clamp(-1, 1)
