"""The cross entropy of what the anchors predict."""

from torch import Tensor


def anchor_log_probabilities(scores: Tensor, temperature: float) -> Tensor:
    """Return ln q_ic, q_i = softmax(G_i / τ): what a stage predicts; −ln q_ic is the loss of example i with label c.

    Args:
        scores: G, the similarity of example and anchor, shape (n, C).
        temperature: τ, positive; 1 for the loss without temperature.

    Returns:
        Shape (n, C), float64.

    Examples:
        >>> import torch
        >>> anchor_log_probabilities(torch.tensor([[0.0, 0.0]]), 0.1).exp().tolist()
        [[0.5, 0.5]]
    """
    return (scores.double() / temperature).log_softmax(1)
