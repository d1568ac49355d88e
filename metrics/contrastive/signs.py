"""Signs of components, which an eigenvector leaves open: by a rule, or as in another fit."""

import torch
from torch import Tensor

from metrics.array_arguments import takes_arrays

# Loadings that differ by less than this part of the largest count as equal: other processors round otherwise.
_TIE = 1e-6


@takes_arrays
def with_signs(components: Tensor) -> Tensor:
    """Return components with signs by a rule: the first of the largest loadings of each is positive.

    Args:
        components: a component a row, shape (k, d).

    Examples:
        >>> import torch
        >>> with_signs(torch.tensor([[0.6, -0.8], [0.8, 0.6]])).tolist() == [[-0.6000000238418579, 0.800000011920929],
        ...     [0.800000011920929, 0.6000000238418579]]
        True
    """
    sizes = components.abs()
    largest = (sizes >= sizes.amax(1, keepdim=True) * (1 - _TIE)).int().argmax(1, keepdim=True)
    return components * _signs(components.gather(1, largest))


@takes_arrays
def aligned_signs(components: Tensor, reference: Tensor) -> Tensor:
    """Return components that point to the same side as those of another fit, such as the round before.

    A component at right angles to its reference keeps its sign.

    Args:
        components: a component a row, shape (k, d).
        reference: the components of the other fit, in the same order, shape (k, d).

    Raises:
        ValueError: their shapes differ.

    Examples:
        >>> import torch
        >>> aligned_signs(torch.tensor([[-1.0, 0.1]]), torch.tensor([[1.0, 0.0]])).round(decimals=1).tolist()
        [[1.0, -0.10000000149011612]]
    """
    if components.shape != reference.shape:
        raise ValueError(f"reference must have shape {tuple(components.shape)}, got {tuple(reference.shape)}")
    products = (components * reference.to(components)).sum(1, keepdim=True)
    return components * _signs(products)


def _signs(values: Tensor) -> Tensor:
    return torch.where(values < 0, -1.0, 1.0).to(values.dtype)
