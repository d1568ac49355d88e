"""Pieces of work side by side in one thread: each runs its own code, and what several wait for is done for all at once.

Every piece runs as a coroutine of its own until it calls :func:`meet`. When all of them wait or are done, jobs of one
kind are done together, and each piece goes on with its own result. One runs at a time, so no code needs to know of it;
generators of global random numbers and the mode of autograd are each piece's own.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from greenlet import GreenletExit, getcurrent, greenlet

from fedlayers.core.seeding import GlobalGenerators

T = TypeVar("T")
J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True)
class Alone(Generic[R]):
    """In the place of a result: who waits for it is to do this work by itself."""

    work: Callable[[], R]


# Does some jobs at once; what is an exception among its results is raised where that job came from.
Together = Callable[[Sequence[J]], Sequence[R | Alone[R] | Exception]]


def side_by_side(works: Sequence[Callable[[], T]]) -> list[T]:
    """Run pieces of work side by side and return their results.

    An exception that a piece does not catch ends all of them.
    """
    seats = [_Seat(work, number) for number, work in enumerate(works)]
    here = _Process.now()
    try:
        waiting = [seat for seat in seats if seat.goes_on(here)]
        while waiting:
            here.put_back()
            for group in _alike(waiting):
                _do(group)
            waiting = [seat for seat in waiting if seat.goes_on(here)]
    finally:
        for seat in seats:
            seat.leave()
        here.put_back()
    return [seat.result for seat in seats]


def nothing_alone(outcome: object) -> float:
    """Return 0: all the time that several jobs took is shared."""
    return 0.0


def meet(
    job: J,
    together: Together[J, R],
    kind: object = None,
    size: float = 1.0,
    alone_s: Callable[[R | Alone[R] | Exception], float] = nothing_alone,
) -> R:
    """Return what ``together`` makes of a job, done at once with the jobs of others that wait side by side with this.

    Args:
        job: what is to be done.
        together: does jobs of one kind at once; who waits with the same function and an equal kind is one of them.
        kind: what jobs that are done at once have in common.
        size: its share of the time they take, relative to theirs.
        alone_s: how many seconds of that time were for one of them alone, by what came of it; those are not shared.
    """
    seat = _seat()
    if seat is None or torch.is_inference_mode_enabled():
        return _taken(together([job])[0])
    result: R = seat.wait(_Request(job, together, kind, size, alone_s))
    return result


def place() -> int:
    """Return the number of the piece of work that calls among those side by side, from 0; 0 by itself."""
    seat = _seat()
    return 0 if seat is None else seat.number


def is_accompanied() -> bool:
    """Say whether the piece of work that calls may have others side by side with it."""
    return _seat() is not None


def own_time() -> float:
    """Return a clock in seconds that stands still while others run, but for the own share of what is done at once."""
    seat = _seat()
    return time.perf_counter() - (0.0 if seat is None else seat.away_s)


@contextmanager
def acting_for(job: object) -> Iterator[None]:
    """Draw global random numbers, in a block of code of who does several jobs at once, where a job comes from."""
    seat = _served.get(id(job))
    if seat is None or seat.process is None:
        yield
        return
    here = GlobalGenerators.now()
    seat.process.generators.put_back()
    try:
        yield
    finally:
        seat.process = replace(seat.process, generators=GlobalGenerators.now())
        here.put_back()


@dataclass(frozen=True)
class _Request:
    """What a piece of work waits for."""

    job: Any
    together: Callable[[Sequence[Any]], Sequence[Any]]
    kind: object
    size: float
    alone_s: Callable[[Any], float]

    def is_like(self, other: "_Request") -> bool:
        return self.together == other.together and self.kind == other.kind


@dataclass(frozen=True)
class _Process:
    """What belongs to the whole process and differs between pieces of work."""

    generators: GlobalGenerators
    differentiates: bool

    @classmethod
    def now(cls) -> "_Process":
        return cls(GlobalGenerators.now(), torch.is_grad_enabled())

    def put_back(self) -> None:
        self.generators.put_back()
        torch.set_grad_enabled(self.differentiates)


class _Seat(Generic[T]):
    """One of the pieces of work; while it waits, it has a request, and the outcome is put beside it."""

    def __init__(self, work: Callable[[], T], number: int) -> None:
        self.number = number
        self.coroutine = greenlet(work)
        self.coroutine.gr_context = copy_context()
        self.coroutine.seat = self
        self.result: Any = None
        self.request: _Request | None = None
        self.outcome: Any = None
        self.share_s = self.away_s = 0.0
        self.process: _Process | None = None

    def goes_on(self, here: _Process) -> bool:
        """Run it until it waits or is done; say whether it waits. What belongs to the process is then still its."""
        (self.process or here).put_back()
        self.result = self.coroutine.switch()
        if not self.coroutine.dead:
            self.process = _Process.now()
        return not self.coroutine.dead

    def leave(self) -> None:
        """End it where it waits, if it was not done."""
        if not self.coroutine.dead:
            self.coroutine.throw(GreenletExit)

    def wait(self, request: _Request) -> Any:
        """Let the others go on until the outcome is there; called in its own coroutine."""
        began = time.perf_counter()
        self.request = request
        self.coroutine.parent.switch()
        self.away_s += time.perf_counter() - began - self.share_s
        outcome, self.outcome = self.outcome, None
        return _taken(outcome)


# The identity of a job that is being done with others -> who waits for it.
_served: dict[int, _Seat[Any]] = {}


def _seat() -> _Seat[Any] | None:
    """Return the seat of the piece of work that calls, None if it runs by itself."""
    found: _Seat[Any] | None = getattr(getcurrent(), "seat", None)
    return found


def _alike(waiting: Sequence[_Seat[Any]]) -> list[list[_Seat[Any]]]:
    """Return those who wait for the same together, in their order."""
    groups: list[list[_Seat[Any]]] = []
    for seat in waiting:
        assert seat.request is not None
        request = seat.request
        found = next((group for group in groups if group[0].request and request.is_like(group[0].request)), None)
        if found is None:
            groups.append([seat])
        else:
            found.append(seat)
    return groups


def _do(group: Sequence[_Seat[Any]]) -> None:
    """Do what a group waits for."""
    requests = [seat.request for seat in group if seat.request is not None]
    began = time.perf_counter()
    _served.update((id(request.job), seat) for request, seat in zip(requests, group, strict=True))
    try:
        outcomes = requests[0].together([request.job for request in requests])
    except Exception as error:
        outcomes = [error] * len(group)
    finally:
        _served.clear()
    own = [request.alone_s(outcome) for request, outcome in zip(requests, outcomes, strict=True)]
    shared, total = time.perf_counter() - began - sum(own), sum(request.size for request in requests)
    for seat, request, outcome, alone in zip(group, requests, outcomes, own, strict=True):
        seat.request, seat.outcome, seat.share_s = None, outcome, alone + shared * request.size / total


def _taken(outcome: R | Alone[R] | Exception) -> R:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome.work() if isinstance(outcome, Alone) else outcome
