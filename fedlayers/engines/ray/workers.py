"""The ``ray`` engine's workers: Ray actors that are replaced when they die."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import ray

from fedlayers.core.errors import Stopped, WorkerLost

logger = logging.getLogger(__name__)

# How often work that kills its worker is given to another one, the first time included.
ATTEMPTS = 3
POLL_S = 0.2
# How long to wait for any worker at first, and when all have died.
START_S = 300.0


class WorkerDied(Exception):
    """A worker died before it had answered: its work is to be done again."""


class Workers:
    """Actors by number; one that dies is replaced under its number.

    Args:
        start: starts an actor; returns it and the reference of its answer once it is there.
        count: how many.
        stop: what a signal sets.

    Attributes:
        actors: the actors by number.
    """

    def __init__(self, start: Callable[[], tuple[Any, Any]], count: int, stop: threading.Event) -> None:
        self._start, self._stop = start, stop
        self.actors: list[Any] = [None] * count
        # Workers that have not said yet that they are there: on a cluster that lost a node they may never be.
        self._starting: dict[Any, int] = {}
        for worker in range(count):
            self._add(worker)
        self._idle_since: float | None = None

    def __len__(self) -> int:
        return len(self.actors)

    def present(self) -> list[int]:
        """Return the numbers of the workers that may be given work."""
        return sorted(set(range(len(self.actors))) - set(self._starting.values()))

    def wait(self, running: Collection[Any]) -> list[Any]:
        """Return those of the references that are ready, none if nothing happened for a moment.

        Raises:
            Stopped: a signal asked the run to stop.
            WorkerLost: nothing runs and no worker could be started for a long time, or one cannot start at all.
        """
        ready, _ = ray.wait([*running, *self._starting], num_returns=1, timeout=POLL_S)
        if self._stop.is_set():
            raise Stopped
        self._welcome(ready, anything_runs=bool(running))
        return [reference for reference in ready if reference in running]

    def replace(self, worker: int, actor: Any) -> None:
        """Start another worker in the place of a dead one, unless that was done; the others have its work till then."""
        if self.actors[worker] is actor:
            logger.warning("worker process %d died; another is started, and its work is done again", worker)
            self._add(worker)

    def _add(self, worker: int) -> None:
        self.actors[worker], reference = self._start()
        self._starting[reference] = worker

    def _welcome(self, ready: Sequence[Any], anything_runs: bool) -> None:
        """Give work from now on to the workers that have started."""
        for reference in ready:
            if reference in self._starting:
                worker = self._starting.pop(reference)
                try:
                    answer(reference)
                except WorkerDied:
                    self.replace(worker, self.actors[worker])
                except ray.exceptions.RayTaskError as error:
                    raise _cannot_start(error) from error
        now = time.monotonic()
        self._idle_since = None if anything_runs else self._idle_since or now
        if self._idle_since is not None and now - self._idle_since > START_S:
            raise WorkerLost(
                f"no worker process could be started for {START_S:.0f} s: Ray has "
                f"{ray.cluster_resources().get('CPU', 0):g} CPUs left; the same command continues after the last "
                "complete round"
            )


def answer(reference: Any) -> Any:
    """Return what a worker answered.

    Raises:
        WorkerDied: it died.
        WorkerLost: it could not start, or Ray is gone.
        ray.exceptions.RayTaskError: it raised; ``cause`` is what.
    """
    try:
        return ray.get(reference)
    except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError) as error:
        if "creation task" in str(error):
            raise _cannot_start(error) from error
        raise WorkerDied from error
    except ray.exceptions.RayTaskError:
        raise
    except ray.exceptions.RayError as error:
        raise WorkerLost(f"Ray stopped answering: {error}") from error


def _cannot_start(error: Exception) -> WorkerLost:
    """Return what to tell of a worker that cannot start: the last line of Ray's account, which names the exception."""
    return WorkerLost(f"a worker process could not start: {str(error).strip().splitlines()[-1].strip()}")
