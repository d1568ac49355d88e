"""The number that an attribution explains: the logit of one class for each record."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from metrics.predictions.predicting import evaluation_mode


def class_logits(outputs: Tensor, classes: Tensor | int | None) -> Tensor:
    """Return the logit of a class for each record: the given ones, or the predicted.

    Args:
        outputs: logits, shape (n, C).
        classes: one for each record, shape (n,), one for all, or None for the predicted ones.

    Raises:
        ValueError: the outputs are no logits of classes, a class is not among them, or there are not as many.

    Examples:
        >>> import torch
        >>> class_logits(torch.tensor([[1.0, 2.0], [4.0, 3.0]]), None).tolist()
        [2.0, 4.0]
        >>> class_logits(torch.tensor([[1.0, 2.0], [4.0, 3.0]]), 0).tolist()
        [1.0, 4.0]
    """
    if outputs.ndim != 2:
        raise ValueError(f"module must give logits of shape (records, classes), got {tuple(outputs.shape)}")
    if classes is None:
        chosen = outputs.argmax(1)
    else:
        given = torch.as_tensor(classes, device=outputs.device).long()
        if given.shape not in ((), (1,), (len(outputs),)):
            raise ValueError(
                f"classes must be one for all or one for each of {len(outputs)} records, got {tuple(given.shape)}"
            )
        chosen = given.expand(len(outputs))
    if len(chosen) and not 0 <= int(chosen.min()) <= int(chosen.max()) < outputs.shape[1]:
        raise ValueError(
            f"classes must be in 0 … {outputs.shape[1] - 1}, got {int(chosen.min())} … {int(chosen.max())}"
        )
    return outputs.gather(1, chosen[:, None])[:, 0]


@contextmanager
def explained(module: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode with gradients of what is computed, but none left in its parameters."""
    wanted = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    for parameter, _ in wanted:
        parameter.requires_grad_(False)
    try:
        with evaluation_mode(module), torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for parameter, before in wanted:
            parameter.requires_grad_(before)
