"""Labels side by side with the outputs they belong to."""

import torch
from torch import Tensor

from fedlayers.core.kinds.labels import is_label_set


def is_label(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return whether each output is that of its example's class, or of one of its labels, shape (n, C), bool.

    Args:
        outputs: shape (n, C).
        labels: classes, shape (n,), or label sets of 0 and 1, shape (n, C).

    torch's ``one_hot`` looks at the labels' values, which waits for a GPU and fails under ``torch.func``.

    Examples:
        >>> import torch
        >>> is_label(torch.zeros(2, 3), torch.tensor([2, 0])).tolist()
        [[False, False, True], [True, False, False]]
    """
    if is_label_set(labels):
        return labels != 0
    return labels.unsqueeze(1) == torch.arange(outputs.shape[1], device=outputs.device)
