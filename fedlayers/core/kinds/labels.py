"""Label sets: examples of which several labels hold at once, as vectors of 0 and 1, beside examples of one class."""

import numpy as np
import torch
from torch import Tensor

# Why what is about classes is missing.
SEVERAL_LABELS = "several labels of an example may hold, and not one class"


def is_label_set(labels: Tensor | np.ndarray) -> bool:
    """Return whether labels are sets, shape (n, C), and not one class an example, shape (n,)."""
    return labels.ndim == 2


def strata(labels: np.ndarray) -> np.ndarray:
    """Return the code of what examples are divided by, shape (n,): the class, of label sets the whole combination.

    Combinations are numbered as they sort, whatever other examples there are ("label powerset"): who divides by label
    deals out combinations, so that labels which occur together stay together.

    References:
        Tsoumakas & Vlahavas 2007, Random k-Labelsets, ECML (label powerset); Sechidis, Tsoumakas & Vlahavas 2011, On
        the Stratification of Multi-label Data, ECML PKDD.

    >>> strata(np.array([[0, 1], [1, 1], [0, 1]])).tolist(), strata(np.array([4, 2])).tolist()
    ([0, 1, 0], [4, 2])
    """
    if not is_label_set(labels):
        return labels
    codes: np.ndarray = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
    return codes


def occurrences(labels: Tensor, classes: int) -> Tensor:
    """Return in how many examples each label holds, shape (C,), int64.

    >>> occurrences(torch.tensor([[0, 1], [1, 1]]), 2).tolist(), occurrences(torch.tensor([1, 1]), 2).tolist()
    ([1, 2], [0, 2])
    """
    return labels.sum(0) if is_label_set(labels) else torch.bincount(labels, minlength=classes)


def one_class(labels: Tensor) -> Tensor:
    """Return the class of each example, shape (n,); −1, for none, of label sets.

    >>> one_class(torch.tensor([[0, 1], [1, 1]])).tolist(), one_class(torch.tensor([2])).tolist()
    ([-1, -1], [2])
    """
    return labels.new_full((len(labels),), -1) if is_label_set(labels) else labels
