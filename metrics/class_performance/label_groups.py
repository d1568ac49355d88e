"""Label groups (attributes): each has classes of its own, one of which, or any number, an example may have."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metrics.class_performance.score_histograms import log_odds
from metrics.tracking.isolation import TrackingMistake

# The group of those who give one tensor instead of a dictionary.
SINGLE = "classes"
# What losses of torch leave out.
IGNORED = -100


def named_classes(
    attributes: Iterable[str] | None,
    label_to_idx_dict: Mapping[str, Any] | None,
    idx_to_label_dict: Mapping[Any, Any] | None,
) -> dict[str, tuple[str, ...]]:
    """Return group -> names of its classes in the order of the outputs, as far as the maps say.

    Args:
        attributes: names of the groups; None for those of the maps.
        label_to_idx_dict: group -> class -> place, or class -> place where there is one group.
        idx_to_label_dict: group -> place -> class, or place -> class.

    Raises:
        ValueError: places are not 0 to C − 1, each once, or a group of ``attributes`` is in neither map.
    """
    asked = group_names(attributes)
    by_place: dict[str, dict[int, str]] = {}
    single = SINGLE if asked is None or len(asked) != 1 else asked[0]
    for group, classes in _nested("label_to_idx_dict", label_to_idx_dict, single).items():
        by_place[group] = {_place(place, group): str(name) for name, place in classes.items()}
    for group, classes in _nested("idx_to_label_dict", idx_to_label_dict, single).items():
        by_place.setdefault(group, {_place(place, group): str(name) for place, name in classes.items()})
    for group, places in by_place.items():
        if sorted(places) != list(range(len(places))):
            whole = f"places 0 to {len(places) - 1}, one a class"
            raise ValueError(f"label_to_idx_dict[{group!r}] must give {whole}, got {sorted(places)}")
    missing = [group for group in asked or [] if by_place and group not in by_place]
    if missing:
        raise ValueError(f"attributes must be groups of label_to_idx_dict, {', '.join(by_place)}, got {missing[0]!r}")
    return {
        group: tuple(places[at] for at in range(len(places)))
        for group, places in by_place.items()
        if asked is None or group in asked
    }


def group_names(attributes: Any) -> list[str] | None:
    """Return the names of label groups, None if none were given.

    Raises:
        ValueError: it is no list of names.
    """
    if isinstance(attributes, str) or not isinstance(attributes, Iterable | None):
        raise ValueError(f"attributes must be a list of names of label groups, got {attributes!r}")
    return None if attributes is None else [str(name) for name in attributes]


def _place(place: Any, group: str) -> int:
    try:
        return int(place)
    except (TypeError, ValueError):
        raise ValueError(
            f"label_to_idx_dict[{group!r}] must give class -> place, and idx_to_label_dict place -> class, got "
            f"{place!r} as a place"
        ) from None


def _nested(argument: str, maps: Any, single: str) -> dict[str, Mapping[Any, Any]]:
    if maps is None:
        return {}
    if not isinstance(maps, Mapping):
        raise ValueError(f"{argument} must be a dictionary of label groups, or of classes, got {type(maps).__name__}")
    if all(isinstance(inner, Mapping) for inner in maps.values()):  # so it is of an empty one
        return {str(group): inner for group, inner in maps.items()}
    return {single: maps}


def in_groups(given: Any, groups: Sequence[str], what: str) -> dict[str, Tensor]:
    """Return group -> tensor of what a loop gives: a dictionary, or one tensor (or array) where there is one group.

    Raises:
        TrackingMistake: it is neither.
    """
    if isinstance(given, Mapping):
        return {str(group): _tensor(values, f"{what}[{str(group)!r}]") for group, values in given.items()}
    if len(groups) > 1:
        raise TrackingMistake(f"{what} must be a dictionary with {', '.join(groups)}, got {type(given).__name__}")
    return {groups[0] if groups else SINGLE: _tensor(given, what)}


def _tensor(values: Any, what: str) -> Tensor:
    try:
        tensor = torch.as_tensor(values).detach()
    except (TypeError, ValueError, RuntimeError):
        tensor = None
    if tensor is None or not tensor.ndim or tensor.is_complex():
        raise TrackingMistake(f"{what} must be a tensor with a row an example, got {type(values).__name__}: give it")
    return tensor


@dataclass(frozen=True, slots=True)
class Answers:
    """Scores and labels of one group, ready to be counted.

    Attributes:
        scores: log-odds of each class, float64, shape (n, C).
        predicted: whether the example is taken for one of the class, bool, shape (n, C): log-odds above 0 (probability
            above ½) of several labels, the class with the largest output of one.
        positive: whether it is of the class, bool, shape (n, C).
        counted: whether it counts for the class, bool, shape (n, C).
        left_out: what does not count and why, in words; empty if nothing.
    """

    scores: Tensor
    predicted: Tensor
    positive: Tensor
    counted: Tensor
    left_out: str = ""


def answers_of(group: str, logits: Tensor, labels: Tensor, classes: int | None) -> Answers:
    """Return scores and labels of one group: several labels where ``labels`` has the shape of ``logits``, else one.

    Args:
        group: for messages.
        logits: outputs, shape (n, C); (n,) or (n, 1) of a single label; further axes of places (tokens, pixels) are
            examples of their own.
        labels: ones and zeros, shape (n, C); or classes, whole numbers, shape (n,), −100 for none.
        classes: how many classes the group has, None if that is not known.

    Raises:
        TrackingMistake: the shapes do not fit.

    Examples:
        >>> found = answers_of("part", torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 7]), classes=2)
        >>> found.predicted.tolist(), found.positive.tolist(), found.left_out
        ([[True, False]], [[True, False]], '1 labels outside 0 to 1')
    """
    labels = labels.to(logits.device)
    shapes = f"logits {tuple(logits.shape)} and labels {tuple(labels.shape)} of {group}"
    if logits.ndim == 1:
        logits = logits.unsqueeze(1)
    if labels.ndim == logits.ndim and labels.shape[-1] == 1:
        labels = labels.squeeze(-1)
    if logits.shape == labels.shape:
        logits, labels = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1, logits.shape[-1])
    elif logits.shape[1:2] == (1,) and labels.shape == logits.shape[:1]:
        # One output says yes or no; of two classes it speaks for the second one.
        logits = torch.cat([torch.zeros_like(logits), logits], 1) if classes == 2 else logits
        labels = labels if classes == 2 else labels.unsqueeze(1)
    elif labels.ndim == logits.ndim - 1 and labels.shape == logits.shape[:-1]:
        logits, labels = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
    elif labels.ndim == logits.ndim - 1 and labels.shape == (logits.shape[0], *logits.shape[2:]):
        logits, labels = logits.movedim(1, -1).reshape(-1, logits.shape[1]), labels.reshape(-1)
    else:
        raise TrackingMistake(
            f"{shapes} do not fit: give (n, classes) and, of one label an example, (n,) or, of several, (n, classes)"
        )
    if classes is not None and logits.shape[1] != classes:
        raise TrackingMistake(f"{shapes} do not fit: the group has {classes} classes, one column of logits each")
    return _several(logits, labels) if labels.shape == logits.shape else _one(logits, labels)


def _several(logits: Tensor, labels: Tensor) -> Answers:
    known = (labels == 0) | (labels == 1)
    finite = ~logits.isnan()
    said = _said(int((~known).sum()), "labels that are neither 0 nor 1", int((~finite & known).sum()))
    scores = logits.to(torch.float64).nan_to_num(nan=0.0, posinf=float("inf"), neginf=float("-inf"))
    return Answers(scores, scores > 0, labels == 1, known & finite, said)


def _one(logits: Tensor, labels: Tensor) -> Answers:
    if labels.is_floating_point() and bool((labels != labels.round()).any()):
        raise TrackingMistake("labels of one class an example must be whole numbers, the places of the classes")
    labels = labels.long()
    said = ""
    # Nearly always all count, which is found out in a fifth of the time.
    if not (_all_within(labels, logits.shape[1]) and _is_finite(logits)):
        within, finite = (labels >= 0) & (labels < logits.shape[1]), _has_probabilities(logits)
        strange = int((~within & (labels != IGNORED)).sum())
        said = _said(strange, f"labels outside 0 to {logits.shape[1] - 1}", int((~finite & within).sum()))
        logits, labels = logits[within & finite], labels[within & finite]
    places = torch.arange(logits.shape[1], device=logits.device)
    predicted = logits.argmax(1, keepdim=True) == places if len(logits) else torch.zeros_like(logits, dtype=torch.bool)
    positive = labels.unsqueeze(1) == places
    return Answers(log_odds(logits), predicted, positive, torch.ones_like(positive), said)


def _all_within(labels: Tensor, classes: int) -> bool:
    if not len(labels):
        return True
    low, high = torch.stack(labels.aminmax()).tolist()
    return bool(low >= 0 and high < classes)


def _is_finite(logits: Tensor) -> bool:
    """Say whether one sum tells that there is neither NaN nor infinity; where it is not finite itself, there may be."""
    return math.isfinite(float(logits.sum()))


def _has_probabilities(logits: Tensor) -> Tensor:
    """Return whether there are probabilities of an example, bool, shape (n,)."""
    # Minus infinity is a class that is ruled out; with plus infinity, or nothing else, there are none.
    return ~(logits.isnan() | (logits == torch.inf)).any(1) & (logits > -torch.inf).any(1)


def _said(strange: int, what: str, nans: int) -> str:
    parts = [f"{strange} {what}"] * (strange > 0) + [f"{nans} outputs that are NaN or infinite"] * (nans > 0)
    return " and ".join(parts)
