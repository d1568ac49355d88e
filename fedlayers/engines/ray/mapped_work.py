"""One function of many items, computed by the ``ray`` engine's workers beside their clients."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
import torch

from fedlayers.core.errors import WorkerLost
from fedlayers.core.machine.devices import threads
from fedlayers.engines.ray.workers import ATTEMPTS, WorkerDied, Workers, answer

logger = logging.getLogger(__name__)

# What a worker is given at once: long beside the 10 ms of a dispatch, short beside the whole.
PIECE_S = 0.25

# A function, what its items share, and the items.
Task = tuple[Callable[[Any, Any], Any], Any, Sequence[Any]]


class ItemWorker:
    """The part of a worker that computes items of a task; it keeps one task from piece to piece."""

    _reference: Any = None
    _task: Task | None = None

    def compute(
        self, reference: list[Any], places: Sequence[int], num_threads: int
    ) -> tuple[list[Any], float, str | None]:
        """Return results up to the first item that fails, the seconds they took and how that one failed.

        Args:
            reference: the task's reference, in a list so that Ray does not read the task anew for every piece.
            places: which of the task's items.
            num_threads: of the caller, as threads are part of the numbers.
        """
        results: list[Any] = []
        began = time.perf_counter()
        try:
            function, shared, items = self._read(reference[0])
            began = time.perf_counter()
            with threads(num_threads):
                # Not a comprehension: if one fails, those before it are kept.
                results.extend(function(shared, items[place]) for place in places)
        except Exception as error:
            return results, time.perf_counter() - began, f"{type(error).__name__}: {error}"
        return results, time.perf_counter() - began, None

    def forget(self) -> None:
        """Let go of the task and what it shares."""
        self._reference = self._task = None

    def _read(self, reference: Any) -> Task:
        if self._task is None or self._reference != reference:
            self.forget()
            self._task, self._reference = ray.get(reference), reference
        return self._task


@dataclass(frozen=True)
class _Piece:
    """The places of items that one worker computes."""

    places: list[int]
    worker: int
    actor: Any


class MappedWork:
    """One task on its way through the workers.

    Args:
        workers: actors that are :class:`ItemWorker`.
        task: the reference of a :data:`Task` in the object store.
        count: the number of its items.
    """

    def __init__(self, workers: Workers, task: Any, count: int) -> None:
        self._workers, self._task = workers, task
        self._waiting = list(range(count))
        self._running: dict[Any, _Piece] = {}
        self._attempts: dict[int, int] = {}
        self._done: dict[int, Any] = {}
        self._seconds = 0.0

    def run(self) -> dict[int, Any]:
        """Return the results by the places of their items.

        An item that failed is missing, and then others may be missing, too: the caller is to compute what is missing
        in order, so that it gets the very exception of the first item that fails.

        Raises:
            Stopped: a signal asked the run to stop.
            WorkerLost: an item killed its worker again and again, or there are no workers any more.
        """
        try:
            while self._waiting or self._running:
                self._dispatch()
                for reference in self._workers.wait(self._running):
                    self._receive(self._running.pop(reference), reference)
        finally:
            for actor in self._workers.actors:
                actor.forget.remote()
        return self._done

    def _dispatch(self) -> None:
        busy = {piece.worker for piece in self._running.values()}
        for worker in self._workers.present():
            if self._waiting and worker not in busy:
                count = self._next()
                piece = _Piece(self._waiting[:count], worker, self._workers.actors[worker])
                self._waiting = self._waiting[count:]
                reference = piece.actor.compute.remote([self._task], piece.places, torch.get_num_threads())
                self._running[reference] = piece

    def _next(self) -> int:
        """Return how many items the next piece has; one that was in a worker that died is alone."""
        if not self._done or self._waiting[0] in self._attempts:
            return 1
        worth_it = int(PIECE_S * len(self._done) / max(self._seconds, 1e-9))
        # Smaller pieces at the end, so that all workers end together.
        return max(1, min(worth_it, len(self._waiting) // (2 * len(self._workers))))

    def _receive(self, piece: _Piece, reference: Any) -> None:
        try:
            results, seconds, failure = answer(reference)
        except WorkerDied:
            self._again(piece)
            return
        except ray.exceptions.RayTaskError as error:
            results, seconds, failure = [], 0.0, str(error.cause)
        self._done.update(zip(piece.places, results, strict=False))
        self._seconds += seconds
        if failure is not None:
            logger.warning("a worker failed on work of the server, which does what is left itself: %s", failure)
            self._waiting = []

    def _again(self, piece: _Piece) -> None:
        """Put the items of a dead worker back, unless one of them has killed several already."""
        for place in piece.places:
            self._attempts[place] = self._attempts.get(place, 0) + 1
            if self._attempts[place] >= ATTEMPTS:
                raise WorkerLost(
                    f"a worker process died {ATTEMPTS} times in a row at the same work of the server; most likely it "
                    "needs more memory than there is: use fewer workers (engine.workers)"
                )
        self._waiting = piece.places + self._waiting
        self._workers.replace(piece.worker, piece.actor)
