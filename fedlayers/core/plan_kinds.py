"""Kinds of federation plans that name layers by their place or nature, whatever the model calls them."""

from collections.abc import Sequence

from fedlayers.core.checks import check
from fedlayers.core.errors import UserError
from fedlayers.core.federation_plan import FederationPlan
from fedlayers.core.layers import Layer

# Which layers stay with the clients: the last ones, all but the last ones, or those that normalise.
KINDS = ("head", "body", "norms")


def plan_of(kind: str, head_layers: int, layers: Sequence[Layer]) -> FederationPlan:
    """Return a plan of one of these kinds for a model.

    Args:
        kind: one of :data:`KINDS`.
        head_layers: how many layers the head has, counted from the end, 1 or more; of no meaning with ``norms``.
        layers: the model's layers, in order.

    Raises:
        UserError: the plan would leave all layers with the clients, or none.
    """
    if kind == "norms":
        found = tuple(layer for layer in layers if layer.kind == "norm")
        if not found:
            names = ", ".join(layer.name for layer in layers)
            raise UserError(
                f"plan=norms needs a model with layers that normalise, got {names}; choose another model, such as "
                "model=resnet18_gn, or plan=all"
            )
        return FederationPlan(found)
    body, head = split_layers(layers, head_layers, "plan.head_layers")
    return FederationPlan(head if kind == "head" else body)


def split_layers(layers: Sequence[Layer], head_layers: int, key: str) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
    """Return a model's layers in two parts, its body and its head, the last layers.

    Args:
        layers: the model's layers, in order.
        head_layers: how many of them are the head.
        key: the dotted key that an error names.

    Raises:
        UserError: the head would be the whole model.
    """
    why = "the model has no more and something must be left of it"
    check(head_layers < len(layers), key, f"at most {len(layers) - 1}", head_layers, why)
    place = len(layers) - head_layers
    return tuple(layers[:place]), tuple(layers[place:])
