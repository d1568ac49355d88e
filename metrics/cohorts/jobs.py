"""What is computed of a client's model: by itself, or at once with the same of others side by side with it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, Self, TypeVar

from fedlayers.core.cohorts.meeting import Alone, is_accompanied, meet
from fedlayers.core.cohorts.memory import does_not_fit
from fedlayers.core.layers import is_compiled
from metrics.cohorts.models import can_be_stacked, structure
from metrics.views import ClientView

R = TypeVar("R")


class MeasuringJob(ABC, Generic[R]):
    """Something that several metrics ask of one client's model; subclass and implement both ways.

    Args:
        view: the client's model.
        size: the number of examples that it is computed on.
    """

    def __init__(self, view: ClientView, size: int) -> None:
        self.view = view
        self.size = size

    @property
    def kind(self) -> object:
        """What jobs must have in common, beside the structure of their models, to be done at once."""
        return None

    @property
    def pays(self) -> bool:
        """Whether clients at once are faster than one after the other."""
        return True

    @abstractmethod
    def alone(self) -> R:
        """Return the result, computed with this client's module."""

    @classmethod
    @abstractmethod
    def together(cls, jobs: Sequence[Self]) -> Sequence[R | Alone[R]]:
        """Return the results of several jobs of one kind, computed with stacked weights, equal but for rounding.

        Where that cannot be, it says what each is to do by itself.

        Those with most examples come first: who has none left then leaves a stack to the others.
        """


def done(job: MeasuringJob[R]) -> R:
    """Return the result of a job, done at once with those of clients that are measured side by side, if they can be.

    A client by itself, as with ``training.cohort=1``, does it alone, with the numbers of before. So do models that
    cannot be stacked, and all where it does not pay; of those that do not fit into memory together, halves are done.
    """
    # Uncompiled code is a state of the whole process, which one who waits would leave to the others.
    if not is_accompanied() or not job.pays or is_compiled(job.view.module):
        return job.alone()
    found: R = meet(job, _all_done, kind=(type(job), job.kind, structure(job.view)), size=max(job.size, 1))
    return found


def _all_done(jobs: Sequence[MeasuringJob[Any]]) -> list[Any]:
    if len(jobs) == 1 or not can_be_stacked(jobs[0].view):
        return [Alone(job.alone) for job in jobs]
    order = sorted(range(len(jobs)), key=lambda place: -jobs[place].size)
    found = dict(zip(order, _stacked([jobs[place] for place in order]), strict=True))
    return [found[place] for place in range(len(jobs))]


def _stacked(jobs: Sequence[MeasuringJob[Any]]) -> list[Any]:
    """Return the results of jobs, those with most examples first, or what each is to do by itself."""
    if len(jobs) > 1:
        try:
            return list(type(jobs[0]).together(jobs))
        except Exception as error:
            if does_not_fit(error):
                half = len(jobs) // 2
                return [*_stacked(jobs[:half]), *_stacked(jobs[half:])]
    # What fails for one of them must not fail for all, and is told by the one whose it is.
    return [Alone(job.alone) for job in jobs]
