"""Finds parameters whose second derivatives autograd would get wrong without a word: those behind custom functions."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.autograd.function import BackwardCFunction


class OnceDifferentiable:
    """Watches the custom autograd functions behind a loss while its gradient is taken with ``create_graph``.

    A backward pass that is marked ``once_differentiable``, or that leaves torch (NumPy, ``detach``), gives gradients
    that no longer depend on the parameters: products with the Hessian would be 0, or lack a part.

    Args:
        loss: a scalar with a graph.
    """

    def __init__(self, loss: Tensor) -> None:
        self._blind: list[Any] = []
        for node in _nodes(loss.grad_fn):
            if isinstance(node, BackwardCFunction):
                node.register_hook(self._hook(node))

    def behind(self, weights: Mapping[str, Tensor]) -> dict[str, str]:
        """Return parameter name -> name of a function that hides its second derivatives, once the gradient is taken."""
        name_of = {id(tensor): name for name, tensor in weights.items()}
        return {
            name_of[id(leaf.variable)]: function.name().removesuffix("Backward")
            for function in self._blind
            for leaf in _nodes(function)
            if id(getattr(leaf, "variable", None)) in name_of
        }

    def _hook(self, node: Any) -> Callable[[Any, Any], None]:
        def hook(inward: Any, outward: Any) -> None:
            followed = any(slope is not None and slope.requires_grad for slope in outward)
            lost = any(slope is not None and not _is_followed(slope) for slope in inward)
            if followed and lost:
                self._blind.append(node)

        return hook


def _is_followed(slope: Tensor) -> bool:
    return slope.requires_grad and slope.grad_fn is not None and "Error" not in slope.grad_fn.name()


def _nodes(start: Any) -> Iterator[Any]:
    """Yield every node of a graph, each once."""
    seen, waiting = set(), [start]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting.extend(following for following, _ in node.next_functions)
