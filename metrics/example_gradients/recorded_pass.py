"""What autograd recorded of a forward pass, in a form in which two passes can be compared."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.autograd.graph import Node


@dataclass(frozen=True)
class RecordedPass:
    """The operations behind a number, whatever the sizes and values of the tensors in them.

    Attributes:
        operations: the kind of each operation and what it was fed with, in the order of a walk back from the number:
            ``(place, output)`` of another operation, or the name of a parameter.
        uses: name of a parameter -> how many operations were fed with it.
    """

    operations: tuple[tuple[str, tuple[tuple[int, int] | str, ...]], ...]
    uses: Mapping[str, int]


def recorded(total: Tensor, leaves: Mapping[str, Tensor]) -> RecordedPass:
    """Return what led to a number.

    Args:
        total: the number, as long as autograd keeps what led to it.
        leaves: name -> parameter by which it can be differentiated. Others have no name.

    Examples:
        >>> import torch
        >>> weight = torch.ones(2, requires_grad=True)
        >>> found = recorded((weight * weight).sum(), {"weight": weight})
        >>> found.operations
        (('SumBackward0', ((1, 0),)), ('MulBackward0', ('weight', 'weight')))
        >>> found.uses["weight"]
        2
    """
    names, uses = {id(tensor): name for name, tensor in leaves.items()}, Counter[str]()
    places: dict[Node, int] = {} if total.grad_fn is None else {total.grad_fn: 0}
    order, operations = list(places), []
    for node in order:  # grows as the walk goes on
        fed: list[tuple[int, int] | str] = []
        for before, output in node.next_functions:
            if before is None or before.name() == _LEAF:
                name = "" if before is None else names.get(id(before.variable), "")  # type: ignore[attr-defined]
                fed.append(name)
                uses[name] += 1
                continue
            if before not in places:
                places[before] = len(order)
                order.append(before)
            fed.append((places[before], output))
        operations.append((node.name(), tuple(fed)))
    return RecordedPass(tuple(operations), uses)


# The node that stands for a tensor that is differentiated by.
_LEAF = "torch::autograd::AccumulateGrad"
