"""How often the class whose anchor is nearest is the label."""

import torch.nn.functional as F
from torch import Tensor


def anchor_hits(scores: Tensor) -> Tensor:
    """Return whether each example i is a hit with each label c: 1 if c = argmax_c G_ic, else 0.

    Their mean over the labels (:func:`metrics.readouts.labelled_mean.labelled_mean`) is the accuracy of the nearest
    anchor. It depends on no temperature. Of equal scores the first class counts.

    Args:
        scores: G, the similarity of example and anchor, shape (n, C).

    Returns:
        Shape (n, C), float64.

    Examples:
        >>> import torch
        >>> anchor_hits(torch.tensor([[0.1, 0.9], [0.7, 0.2]])).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    return F.one_hot(scores.argmax(1), scores.shape[1]).double()
