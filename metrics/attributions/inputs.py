"""Which parts of the input speak for a class: gradients, and gradients integrated from a baseline."""

import numpy as np
import torch
from torch import Tensor, nn

from metrics.attributions.targets import class_logits, explained


def input_gradients(module: nn.Module, inputs: Tensor, classes: Tensor | int | None = None) -> Tensor:
    """Return ∂ logit / ∂ input for each record: which way the logit of a class rises.

    Args:
        module: gives logits (n, C) for the inputs; in evaluation mode meanwhile, and left as it was.
        inputs: of floating point, shape (n, …).
        classes: one for each record, one for all, or None for those that the model predicts.

    Returns:
        As the inputs.

    Raises:
        ValueError: the inputs are no floating-point numbers, or the class does not exist.

    References:
        Simonyan, Vedaldi & Zisserman 2013, Deep inside convolutional networks, arXiv 1312.6034.

    Examples:
        >>> import torch
        >>> model = nn.Linear(2, 2, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 2.0], [0.0, -1.0]]))
        >>> input_gradients(model, torch.tensor([[5.0, 5.0]]), 0).tolist()
        [[1.0, 2.0]]
    """
    rows = _floating(inputs)
    with explained(module):
        leaves = rows.detach().clone().requires_grad_(True)
        (found,) = torch.autograd.grad(class_logits(module(leaves), classes).sum(), leaves)
    return found


def integrated_gradients(
    module: nn.Module,
    inputs: Tensor,
    classes: Tensor | int | None = None,
    baseline: Tensor | None = None,
    steps: int = 50,
) -> Tensor:
    """Return each input's share in the difference of the logit to that of a baseline.

    (x − x₀) ⊙ ∫₀¹ ∂ logit(x₀ + t (x − x₀)) / ∂x dt, by Gauss-Legendre quadrature; the shares of a record sum to
    logit(x) − logit(x₀), the closer the more steps.

    Args:
        module: gives logits (n, C); in evaluation mode meanwhile, and left as it was.
        inputs: of floating point, shape (n, …).
        classes: one for each record, one for all, or None for those that the model predicts for the inputs.
        baseline: x₀, of a record's shape or of the inputs'; None for zeros, the mean of normalised features.
        steps: points of the quadrature, 1 or more.

    Returns:
        As the inputs.

    Raises:
        ValueError: the inputs are no floating-point numbers, the class does not exist, or there are no steps.

    References:
        Sundararajan, Taly & Yan 2017, Axiomatic attribution for deep networks, arXiv 1703.01365.

    Examples:
        >>> import torch
        >>> model = nn.Linear(2, 2, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 2.0], [0.0, -1.0]]))
        >>> integrated_gradients(model, torch.tensor([[3.0, 5.0]]), 0).round(decimals=3).tolist()
        [[3.0, 10.0]]
    """
    if steps < 1:
        raise ValueError(f"steps must be 1 or more, got {steps}")
    rows = _floating(inputs)
    start = torch.zeros_like(rows) if baseline is None else torch.broadcast_to(baseline.to(rows), rows.shape)
    with explained(module), torch.no_grad():
        outputs = module(rows)
        class_logits(outputs, classes)
        chosen = outputs.argmax(1) if classes is None else classes
    places, weights = np.polynomial.legendre.leggauss(steps)
    total = torch.zeros_like(rows)
    for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
        total += float(weight) * input_gradients(module, start + float(place) * (rows - start), chosen)
    return (rows - start) * total


def _floating(inputs: Tensor) -> Tensor:
    if not inputs.is_floating_point():
        raise ValueError(
            f"inputs must be floating-point numbers, got {inputs.dtype}; attention maps say where tokens are looked at"
        )
    return inputs.detach()
