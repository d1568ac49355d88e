"""One weight for each class: given, or from how many training examples of each class there are."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedlayers.core.checks import check, not_negative
from fedlayers.objectives.objective import ClassCounts, ObjectiveError

COUNTED = ("client", "federation")
# What an argument of this kind may be.
Given = Sequence[float] | str | None


class ClassNumbers:
    """One number for each class, on whatever device and in whatever precision they are asked for.

    Args:
        values: shape (C,).
    """

    def __init__(self, values: Tensor) -> None:
        self._values = values.double()
        self._copies: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def like(self, outputs: Tensor) -> Tensor:
        """Return the numbers as a tensor (C,) of the outputs' precision on their device, copied there once."""
        key = (outputs.device, outputs.dtype)
        if key not in self._copies:
            # An inference tensor could not be used under autograd later.
            with torch.inference_mode(False):
                self._copies[key] = self._values.to(*key)
        return self._copies[key]


def check_weights(key: str, given: Given) -> None:
    """Check weights for classes as far as that needs no data.

    Raises:
        UserError: they are no weights; the sentence names the key.
    """
    allowed = "one weight for each class, 0 or more and not all 0, or client, federation or null"
    if isinstance(given, str):
        check(given in COUNTED, key, allowed, given)
    elif given is not None:
        check(all(map(not_negative, given)) and sum(given) > 0, key, allowed, list(given))


def given_numbers(given: Given) -> ClassNumbers | None:
    """Return weights that are given as numbers; None if they are not, or there are none."""
    return (
        None
        if given is None or isinstance(given, str)
        else ClassNumbers(torch.tensor(list(given), dtype=torch.float64))
    )


def weights_like(outputs: Tensor, weights: ClassNumbers | None, given: Given, argument: str) -> Tensor | None:
    """Return weights as a tensor (C,) like the outputs, None for none.

    Raises:
        ObjectiveError: they come from counts, which were not told.
    """
    if weights is None and given is not None:
        raise ObjectiveError(
            f"{argument} must be bound to training counts before use, got {given!r} without", "call bound(counts) first"
        )
    return None if weights is None else weights.like(outputs)


def class_weights(key: str, given: Given, counts: ClassCounts) -> ClassNumbers | None:
    """Return the weights that are given or that the counts ask for, None for none.

    Those from counts are w_c = n / (K max(n_c, 1)), n_c of the n training examples being of class c and K classes
    having any: every class that is present has the same part in the loss, and the mean weight of the training examples
    is 1. A class without training examples weighs as much as one with a single example.

    Raises:
        UserError: there are not as many weights as classes.
    """
    if isinstance(given, str):
        return ClassNumbers(balancing_weights(counts.of(given)))
    if given is not None:
        check(len(given) == counts.classes, key, f"one weight for each of {counts.classes} classes", list(given))
    return given_numbers(given)


def balancing_weights(counts: Tensor) -> Tensor:
    """Return w_c = n / (K max(n_c, 1)), shape (C,), float64; see :func:`class_weights`.

    Examples:
        >>> import torch
        >>> balancing_weights(torch.tensor([6, 2, 0])).tolist()
        [0.6666666666666666, 2.0, 4.0]
    """
    present = (counts > 0).sum().clamp(min=1)
    return counts.sum() / (present * counts.clamp(min=1)).double()
