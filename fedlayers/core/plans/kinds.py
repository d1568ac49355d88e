"""Plans that stay the same in all rounds: by names, by the place or nature of layers, or by lot."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from fedlayers.core.checks import check
from fedlayers.core.errors import UserError
from fedlayers.core.layers import Layer
from fedlayers.core.plans.kind_names import KINDS
from fedlayers.core.plans.plan import FederationPlan, named
from fedlayers.core.seeding import numpy_generator
from fedlayers.core.spelling import did_you_mean, nearest


def plan_of(kind: str, setting: int | Sequence[str] | None, layers: Sequence[Layer], seed: int = 0) -> FederationPlan:
    """Return a plan of one of these kinds for a model.

    Args:
        kind: a key of :data:`KINDS`.
        setting: the value of the setting that ``KINDS`` names for it: layers or groups by name, or how many layers.
        layers: the model's layers, in order.
        seed: the run's seed, from which ``random_prefix`` draws.

    Raises:
        UserError: the plan names a layer that the model does not have, or would leave all layers with the clients, or
            none.
    """
    key = KINDS[kind]
    said = ", ".join(setting) if isinstance(setting, Sequence) else setting
    how = f"plan={kind}" if key is None else f"plan={kind} plan.{key}={f'[{said}]' if key in _BY_NAME else said}"
    if kind == "all":
        return FederationPlan(how=how)
    if len(layers) < 2:
        raise UserError(
            f"plan={kind} needs a model of two layers or more, to share one and leave one, got one of "
            f"{', '.join(layer.name for layer in layers) or 'none'}; choose another model, or plan=all"
        )
    if isinstance(setting, Sequence):
        return FederationPlan.sharing(_shared_by_name(kind, setting, layers), layers, how)
    if kind == "norms":
        return FederationPlan(_norms(layers), how=how)
    if kind == "random_prefix":
        setting = 1 + int(numpy_generator(seed, "plan").integers(len(layers) - 1))
        how = f"{how}, which drew the first {setting} of {len(layers)} layers"
    parts = split_layers(layers, setting or 1, f"plan.{key}", from_start=kind in ("prefix", "random_prefix"))
    shares_first = kind in ("prefix", "random_prefix", "head")
    return FederationPlan.sharing(parts[0] if shares_first else parts[1], layers, how)


def split_layers(
    layers: Sequence[Layer], size: int, key: str, from_start: bool = False
) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
    """Return a model's layers in two parts, such as its body and its head, the last layers.

    Args:
        layers: the model's layers, in order.
        size: how many of them are in the last part, or in the first one.
        key: the dotted key that an error names.
        from_start: whether the first part has that size.

    Raises:
        UserError: a part would be the whole model.
    """
    why = "plan=all shares all layers, algorithm=local none" if key.startswith("plan.") else "one layer must be left"
    check(size < len(layers), key, f"less than {len(layers)}, the number of the model's layers", size, why)
    place = size if from_start else len(layers) - size
    return tuple(layers[:place]), tuple(layers[place:])


def _norms(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers that normalise."""
    found = tuple(layer for layer in layers if layer.kind == "norm")
    if not found:
        names = ", ".join(layer.name for layer in layers)
        raise UserError(
            f"plan=norms needs a model with layers that normalise, got {names}; choose another model, such as "
            "model=resnet18_gn, or plan=all"
        )
    return found


def _shared_by_name(kind: str, names: Sequence[str], layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers that a plan by names shares: some, and not all."""
    key = f"plan.{kind}"
    found = _of_groups(names, layers) if kind == "groups" else named(names, layers, key)
    chosen = [layer for layer in layers if (layer in found) != (kind == "personal")]
    listed = f"[{', '.join(names)}], which are all layers"
    check(bool(chosen), key, "some of the model's layers, so that one is shared", listed, "choose algorithm=local")
    left = len(chosen) < len(layers)
    check(left, key, "some of the model's layers, so that one stays with the clients", listed, "choose plan=all")
    return chosen


def _of_groups(patterns: Sequence[str], layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers whose group, or whose own name, is one of some names or fits one of some patterns."""
    found: list[Layer] = []
    for pattern in patterns:
        fitting = [x for x in layers if fnmatchcase(x.group, pattern) or fnmatchcase(x.name, pattern)]
        if not fitting:
            groups = list(dict.fromkeys(layer.group for layer in layers))
            advice = did_you_mean(nearest(pattern, groups), "name some of those, or a pattern such as 'conv*'")
            raise UserError(
                f"plan.groups must fit layer groups or layers of the model ({', '.join(groups)}), got {pattern!r}; "
                f"{advice}"
            )
        found += fitting
    return found


_BY_NAME = ("personal", "shared", "groups")
