"""How far two predictions of the same examples are apart: the Jensen-Shannon divergence."""

from torch import Tensor


def jensen_shannon(first: Tensor, second: Tensor) -> Tensor:
    """Return ½ KL(p ‖ m) + ½ KL(q ‖ m) of every example in nats, m = (p + q) / 2; 0 ln 0 = 0.

    Symmetric, 0 if both are equal, ln 2 if they share no class.

    Args:
        first: p, probabilities, shape (n, C).
        second: q, likewise.

    Returns:
        Shape (n,), float64, in [0, ln 2].

    References:
        Lin 1991, Divergence Measures Based on the Shannon Entropy, IEEE Transactions on Information Theory 37.

    Examples:
        >>> import torch
        >>> p, q = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> jensen_shannon(p, q).round(decimals=4).tolist(), jensen_shannon(p, p).tolist()
        ([0.6931], [0.0])
    """
    p, q = first.double(), second.double()
    entropies = [-part.xlogy(part).sum(1) for part in ((p + q) / 2, p, q)]
    return (entropies[0] - (entropies[1] + entropies[2]) / 2).clamp(min=0)
