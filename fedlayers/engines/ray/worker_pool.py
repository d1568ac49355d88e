"""Workers that stay from run to run of a sweep: starting one takes seconds, as long as a small run."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray

# How long a worker may take to leave its run; one that takes longer is at work, and is ended.
LEAVE_S = 1.0


@dataclass(frozen=True)
class _Kept:
    """A worker without a run: what it asks of Ray, and of which Ray."""

    actor: Any
    options: Mapping[str, float]
    connection: tuple[str, str] | None

    def end(self) -> None:
        if self.connection == connection():  # otherwise it ended with its Ray
            ray.kill(self.actor)


_keeps = False
_kept: list[_Kept] = []


@contextmanager
def workers_kept() -> Iterator[None]:
    """Keep the workers of each run for the next in a block of code.

    Only for runs of one start of the program: a kept worker has imported its modules and sees no later change of them.
    """
    global _keeps  # noqa: PLW0603
    before, _keeps = _keeps, True
    try:
        yield
    finally:
        _keeps = before
        if not _keeps:
            end_kept()


def take(options: Mapping[str, float]) -> Any | None:
    """Return a kept worker that asks for just this; without one, end the others, which hold what a new one needs."""
    for place, kept in enumerate(_kept):
        if (kept.connection, kept.options) == (connection(), options):
            return _kept.pop(place).actor
    end_kept()
    return None


def leave(options: Mapping[str, float], actors: Sequence[Any]) -> None:
    """Keep the workers of a run that has ended, or end them."""
    leaving = {actor.leave.remote(): actor for actor in actors} if _keeps else {}
    left = set(ray.wait(list(leaving), num_returns=len(leaving), timeout=LEAVE_S)[0]) if leaving else set()
    kept = [actor for reference, actor in leaving.items() if reference in left and _is_well(reference)]
    for actor in actors:
        if actor in kept:
            _kept.append(_Kept(actor, options, connection()))
        else:
            ray.kill(actor)


def end_kept() -> None:
    """End the workers that are kept."""
    while _kept:
        _kept.pop().end()


def _is_well(reference: Any) -> bool:
    try:
        ray.get(reference)
    except ray.exceptions.RayError:
        return False
    return True


def connection() -> tuple[str, str] | None:
    """Return what no other connection of this process to a Ray has."""
    if not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    return context.get_node_id(), context.get_job_id()
