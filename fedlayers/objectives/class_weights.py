"""One weight for each class: given, or from how many training examples of each class there are."""

import copy
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


class ClassWeights:
    """The weights that an objective is given, or takes from training counts once it is bound to them.

    Those from counts are w_c = n / (K max(n_c, 1)), n_c of the n training examples being of class c and K classes
    having any: every class that is present has the same part in the loss, and the mean weight of the training examples
    is 1. A class without training examples weighs as much as one with a single example.

    Args:
        key: of the setting, such as ``objective.alpha``.
        given: one weight for each class, whose counts to take them from, or None for none.

    Raises:
        UserError: they are no weights, as far as that can be said without data; the sentence names the key.
    """

    def __init__(self, key: str, given: Given) -> None:
        allowed = "one weight for each class, 0 or more and not all 0, or client, federation or null"
        self.key, self.given = key, given
        self._numbers: ClassNumbers | None = None
        if isinstance(given, str):
            check(given in COUNTED, key, allowed, given)
        elif given is not None:
            check(all(map(not_negative, given)) and sum(given) > 0, key, allowed, list(given))
            self._numbers = ClassNumbers(torch.tensor(list(given), dtype=torch.float64))

    def bound(self, counts: ClassCounts) -> "ClassWeights":
        """Return them for some training counts; themselves where these change nothing.

        Raises:
            UserError: there are not as many weights as classes.
        """
        if isinstance(self.given, str):
            own = copy.copy(self)
            own._numbers = ClassNumbers(balancing_weights(counts.of(self.given)))
            return own
        if self.given is not None:
            allowed = f"one weight for each of {counts.classes} classes"
            check(len(self.given) == counts.classes, self.key, allowed, list(self.given))
        return self

    def like(self, outputs: Tensor) -> Tensor | None:
        """Return them as a tensor (C,) like the outputs, None for none.

        Raises:
            ObjectiveError: they come from counts, which were not told.
        """
        if self._numbers is not None:
            return self._numbers.like(outputs)
        if self.given is not None:
            raise ObjectiveError(
                f"{self.key.removeprefix('objective.')} must be bound to training counts before use, got "
                f"{self.given!r} without",
                "call bound(counts) first",
            )
        return None


def balancing_weights(counts: Tensor) -> Tensor:
    """Return w_c = n / (K max(n_c, 1)), shape (C,), float64; see :class:`ClassWeights`.

    Examples:
        >>> import torch
        >>> balancing_weights(torch.tensor([6, 2, 0])).tolist()
        [0.6666666666666666, 2.0, 4.0]
    """
    present = (counts > 0).sum().clamp(min=1)
    return counts.sum() / (present * counts.clamp(min=1)).double()
