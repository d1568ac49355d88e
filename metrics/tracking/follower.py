"""What looks on while one client of a federation trains in one round, and says afterwards what it saw."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from fedlayers.core.records import Row
from fedlayers.core.schedule import Step


@dataclass
class Followed:
    """What was seen in one local training.

    Attributes:
        rows: rows of any table.
        alarms: what the user should hear while the run goes on, a sentence each.
    """

    rows: list[Row] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LocalTraining:
    """One local training that is about to begin.

    Attributes:
        weights: name -> what is trained, by the model's names: as it starts now, and as training left it afterwards.
        round: which.
        last_round: the last one of the run, as far as is known.
    """

    weights: Mapping[str, Tensor]
    round: int
    last_round: int

    @property
    def is_landmark(self) -> bool:
        """Whether it is of the run's first, middle or last round."""
        return is_landmark(self.round, self.last_round)


def is_landmark(number: int, last: int) -> bool:
    """Say whether a round is the first, the middle or the last one of a run.

    >>> [number for number in range(1, 11) if is_landmark(number, 10)]
    [1, 5, 10]
    """
    return number in (1, (last + 1) // 2, last)


class Follower(ABC):
    """Looks at some steps of a local training, and changes nothing.

    Tensors change with the next step: what is to be kept is copied. Nothing may wait for the device at every step.
    """

    @abstractmethod
    def wants(self, step: Step) -> bool:
        """Say whether :meth:`look` is to be called after a step, which may be one of those to come."""

    @abstractmethod
    def start(self, weights: Mapping[str, Tensor]) -> None:
        """Look at the weights before the first step; a training in several parts, one after another, has several."""

    @abstractmethod
    def look(self, step: Step, weights: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> None:
        """Look after a step.

        Args:
            step: which.
            weights: name -> the weights as they are now, by the model's names.
            gradients: name -> the gradients along which the step went, of the weights that are trained.
        """

    @abstractmethod
    def finish(self) -> Followed:
        """Return what was seen, after the last step."""

    @classmethod
    def together(cls, followers: Sequence[Any]) -> "Followers | None":
        """Return what looks for several of this kind at clients that train as one; None: each looks by itself.

        Args:
            followers: those of the clients; :meth:`finish` is asked of each afterwards, and ``start`` and ``look`` of
                none.
        """
        return None


class Followers(ABC):
    """Looks at clients that train as one, their tensors stacked along a leading axis, for the follower of each."""

    @abstractmethod
    def wants(self, step: Step) -> bool:
        """Say whether :meth:`look` is to be called after a step."""

    @abstractmethod
    def start(self, weights: Mapping[str, Tensor]) -> None:
        """Look at the weights (K, …) of all clients before the first step."""

    @abstractmethod
    def look(
        self, steps: Sequence[Step], clients: slice, weights: Mapping[str, Tensor], gradients: Mapping[str, Tensor]
    ) -> None:
        """Look after a step that one of them wants, of some clients.

        Args:
            steps: which step it is of each of the n clients; their numbers are equal.
            clients: which they are.
            weights: name -> the weights (K, …) of all clients as they are now.
            gradients: name -> the gradients (n, …) along which these clients went.
        """

    @abstractmethod
    def close(self) -> None:
        """Tell each client's follower what is not told yet, after the last step."""
