"""Labels side by side with the outputs they belong to."""

import torch
from torch import Tensor


def is_label(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return whether each output is that of its example's class, shape (n, C), bool.

    torch's ``one_hot`` looks at the labels' values, which waits for a GPU and fails under ``torch.func``.

    Examples:
        >>> import torch
        >>> is_label(torch.zeros(2, 3), torch.tensor([2, 0])).tolist()
        [[False, False, True], [True, False, False]]
    """
    return labels.unsqueeze(1) == torch.arange(outputs.shape[1], device=outputs.device)
