"""The mean over examples of what belongs to their label, against labels in random order."""

from torch import Tensor

from metrics.geometry.chance import against_chance
from metrics.readouts.reading import Reading, below_chance, mean_and_error


def labelled_mean(terms: Tensor, labellings: Tensor, direction: str = "higher") -> Reading:
    """Return the mean of t_i,y(i), its standard error, and its place among the means for shuffled labels.

    Args:
        terms: t, what each example i gives with each class, shape (n, C), n ≥ 2.
        labellings: shape (1 + s, n), classes from 0: the labels, and s times the same in random order.
        direction: ``higher`` or ``lower`` is better; towards it ``chance_hi`` and ``p`` look.

    References:
        Ojala & Garriga 2010, Permutation Tests for Studying Classifier Performance, JMLR 11.

    Examples:
        >>> import torch
        >>> found = labelled_mean(torch.eye(3), torch.tensor([[0, 1, 2], [1, 2, 0]]))
        >>> found.value, found.chance.chance
        (1.0, 0.0)
    """
    own = terms.double().gather(1, labellings.T)
    value, stderr = mean_and_error(own[:, 0])
    judged = below_chance if direction == "lower" else against_chance
    return Reading(value, stderr, judged(value, own[:, 1:].mean(0)))
