"""What a client minimises: one loss for each example, the same for training, evaluation, gradients and curvature."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from torch import Tensor

from fedlayers.core.errors import UserError
from fedlayers.core.quantities import Facts

# The quantities that are losses themselves; others are measured in the loss's unit, or in its square.
_LOSSES = ("loss", "training_loss")


class ObjectiveError(ValueError):
    """An objective gave something else than one loss for each example; the text names the objective.

    Args:
        sentence: what it must give and what it gave.
        advice: what to do.
        place: where that was.
    """

    def __init__(self, sentence: str, advice: str, place: str = "") -> None:
        super().__init__(f"{sentence}{place}; {advice}")
        self._parts = sentence, advice, place

    def at(self, place: str) -> "ObjectiveError":
        """Return the same error with more about where it was, such as ``step 3``."""
        sentence, advice, before = self._parts
        return ObjectiveError(sentence, advice, f"{before} {place}")


@contextmanager
def failures_told(place: str) -> Iterator[None]:
    """Turn an objective's failures in a block of code into :class:`UserError`, with more about where they were."""
    try:
        yield
    except ObjectiveError as error:
        raise UserError(str(error.at(place))) from error


@dataclass(frozen=True)
class ClassCounts:
    """How many training examples of each class there are, counted when somebody asks.

    Attributes:
        classes: the number C of classes.
        count: returns the counts of the client (``client``) or of all clients together (``federation``), shape (C,).
    """

    classes: int
    count: Callable[[str], Tensor]

    @cached_property
    def client(self) -> Tensor:
        """The client's own counts, shape (C,), int64; on the server those of all clients together."""
        return self.count("client")

    @cached_property
    def federation(self) -> Tensor:
        """The counts of all clients together, shape (C,), int64."""
        return self.count("federation")

    def of(self, whose: str) -> Tensor:
        """Return the counts of the ``client`` or of the ``federation``."""
        return self.client if whose == "client" else self.federation


class Objective(ABC):
    """What a client minimises: the mean over examples of one loss each; subclass and implement :meth:`losses`.

    An objective reads nothing but outputs and labels, is differentiable twice by the outputs, and works under
    ``torch.func.vmap``. Call it for the losses, :meth:`mean` for their mean.
    """

    # How to read its values: unit, lowest and highest value, and where they are defined.
    unit: ClassVar[str] = "1"
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = math.inf
    reference: ClassVar[str] = "own definition"
    # Whether outputs are logits, to which it applies softmax itself.
    takes_logits: ClassVar[bool] = False
    # Whether several labels of an example may hold at once: labels are then vectors of 0 and 1, shape (n, C).
    takes_label_sets: ClassVar[bool] = False
    # Whether its losses are numbers for all outputs that are finite: nobody then has to look, step by step.
    is_safe: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """What messages call it."""
        return type(self).__name__

    @abstractmethod
    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each example, shape (n,).

        Args:
            outputs: what the model puts out, shape (n, C), C classes, float32 or float64.
            labels: the classes, shape (n,), int64; with ``takes_label_sets`` also label sets, shape (n, C).
        """

    def bound(self, counts: ClassCounts) -> "Objective":
        """Return the objective that a client with such training examples minimises, by default the same for all.

        Args:
            counts: how many training examples of each class there are.

        Raises:
            UserError: it does not fit the classes.
        """
        return self

    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each example, shape (n,).

        Raises:
            ObjectiveError: it gives something else.
        """
        found = self.losses(outputs, labels)
        if not isinstance(found, Tensor) or found.shape != outputs.shape[:1] or not found.is_floating_point():
            raise ObjectiveError(
                f"objective {self.name} must give one loss for each example, float numbers of shape ({len(outputs)},), "
                f"got {_described(found)}",
                "leave out a mean or sum over examples (reduction=none), and take that over classes",
            )
        return found

    def mean(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean of the losses, a scalar; whoever has it in one piece overrides this.

        Raises:
            ObjectiveError: there is not one loss for each example.
        """
        return self(outputs, labels).mean()

    def read(self, facts: Iterable[Facts]) -> list[Facts]:
        """Return how quantities are to be read under this objective: in its unit, losses in its range."""
        return [self._read(one) for one in facts]

    def _read(self, facts: Facts) -> Facts:
        if facts.of_loss and self.unit != "nat":
            power = facts.unit.removeprefix("nat")
            unit = self.unit if self.unit in ("", "1") else self.unit + power
            facts = replace(facts, unit=unit)
        if facts.name in _LOSSES:
            facts = replace(facts, low=self.low, high=self.high)
        return replace(facts, reference=self.reference) if facts.name == "loss" else facts


def nan_error(name: str) -> ObjectiveError:
    """Return the error of an objective that gives NaN for outputs that are numbers."""
    return ObjectiveError(
        f"objective {name} must give numbers for outputs that are numbers, got NaN",
        "look for a logarithm, root or quotient of 0 in it",
    )


def _described(found: object) -> str:
    if not isinstance(found, Tensor):
        return type(found).__name__
    shape = "a scalar" if found.dim() == 0 else f"shape {tuple(found.shape)}"
    return shape if found.is_floating_point() else f"{shape} of {found.dtype}"
