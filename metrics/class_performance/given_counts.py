"""What a user says of classes and their training examples, as far as it fits the classes there are."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from metrics.class_performance.tiers import TIERS

_MOST_NAMES = 5


def fitting(argument: str, group: str, labels: Sequence[str], held: Any) -> tuple[dict[str, Any], list[str]]:
    """Return what one argument says of a group's classes, without what does not fit, and a sentence for each of that.

    Args:
        argument: ``hmt_info`` (tier -> class -> count, or tier -> classes), ``train_counts`` or ``own_counts``
            (class -> count).
        group: the label group.
        labels: its classes.
        held: what was given of it; None for nothing.

    Examples:
        >>> fitting("train_counts", "pet", ["cat", "dog"], {"cat": 3, "dog": 1, "owl": 4})
        ({'cat': 3.0, 'dog': 1.0}, ["train_counts['pet'] names owl, which is no class of pet: give some of cat, dog"])
    """
    name = f"{argument}[{group!r}]"
    if held is None or not labels:
        return {}, []
    if not isinstance(held, Mapping):
        return {}, [f"{name} must be a dictionary, got {type(held).__name__}: it is left out"]
    parts: dict[str | None, Any] = {tier: held.get(tier) for tier in TIERS} if argument == "hmt_info" else {None: held}
    found: dict[str | None, Any] = {}
    told: list[str] = []
    named: list[str] = []
    for tier, classes in parts.items():
        found[tier], more = _of_tier(name if tier is None else f"{name}[{tier!r}]", group, labels, classes)
        twice = [label for label in found[tier] if label in named]
        told += more + [f"{name} has {label} in two tiers: the later one counts; give it once" for label in twice]
        named += found[tier]
    if lacking := [label for label in labels if label not in named]:
        told.append(
            f"{name} lacks {_listed(lacking)}: the tier of what it lacks is unknown; give every class of {group}"
        )
    return found.get(None, found), told


def _of_tier(name: str, group: str, labels: Sequence[str], classes: Any) -> tuple[Any, list[str]]:
    """Return class -> count, or classes, of those that are in the group and countable, and what was wrong."""
    if classes is None:
        return {}, []
    if isinstance(classes, str) or not isinstance(classes, Iterable):
        return {}, [f"{name} must be a dictionary of classes and counts, got {type(classes).__name__}: it is left out"]
    told = []
    if strange := [str(label) for label in classes if str(label) not in labels]:
        told.append(f"{name} names {_listed(strange)}, which is no class of {group}: give some of {_listed(labels)}")
    if not isinstance(classes, Mapping):
        return [str(label) for label in classes if str(label) in labels], told
    found = {}
    for label, count in classes.items():
        if str(label) in strange:
            continue
        number = _number(count)
        if number is None:
            told.append(f"{name}[{str(label)!r}] must be a number, 0 or more, got {count!r}: it counts as 0")
        found[str(label)] = number or 0.0
    return found, told


def _number(count: Any) -> float | None:
    try:
        number = float(count)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number < float("inf") else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMES]) + (" …" if len(names) > _MOST_NAMES else "")
