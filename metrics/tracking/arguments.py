"""Numbers that a training loop gives to its trackers, checked."""

import operator
from typing import Any

from torch import nn

from metrics.tracking.isolation import Telling, TrackingMistake, tell


def epoch_number(epoch: Any) -> int:
    """Return the number of an epoch.

    Raises:
        TrackingMistake: it is no whole number, 0 or more.
    """
    number = _whole(epoch)
    if number is None or number < 0:
        raise TrackingMistake(f"epoch must be a whole number, 0 or more, got {epoch!r}: give 1, then 2 …")
    return number


def number_of_examples(tracker: Telling, name: str, given: Any) -> int | None:
    """Return a number of examples; None, with a sentence, for what is none."""
    number = _whole(given)
    if given is not None and (number is None or number < 1):
        tell(tracker, f"{name} must be a whole number, 1 or more, got {given!r}: it is left out; give it, or nothing")
        return None
    return number


def module_given(model: Any) -> nn.Module:
    """Return the model that a tracker was given; of a compiled one the module that it was made of, with its names.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be the torch.nn.Module that trains, got {model!r}: give the module itself")
    inner = getattr(model, "_orig_mod", None)
    return inner if isinstance(inner, nn.Module) else model


def _whole(given: Any) -> int | None:
    if isinstance(given, bool):
        return None
    try:
        return operator.index(given)
    except (TypeError, ValueError):
        return None
