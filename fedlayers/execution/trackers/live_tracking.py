"""Trackers that follow a run, each in a thread of its own: what fails there is told, and no round waits."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from fedlayers.core.errors import UserError, one_line
from fedlayers.execution.event_log import LoggedProgress
from fedlayers.execution.progress import Progress
from fedlayers.export.trackers.outlet import Outlet, Sink
from fedlayers.opening.run import Run

# How long a run that is complete, or was stopped, waits for a tracker.
FINISH_S, STOP_S = 120.0, 10.0
# What takes a round that was announced to the disk.
_WRITTEN_S = 5.0


class TrackedProgress(LoggedProgress):
    """A display of progress of whose rounds trackers hear, too.

    Args:
        shown: the display.
        tracking: the trackers.
    """

    def __init__(self, shown: Progress, tracking: "LiveTracking") -> None:
        super().__init__(shown)
        self._tracking = tracking

    def round_done(self, server_round: int, accuracy: float | None, loss: float | None) -> None:
        """Show a round and let trackers have it."""
        super().round_done(server_round, accuracy, loss)
        self._tracking.round_done(server_round)


class LiveTracking:
    """Gives trackers every round that counts, and those before it that they lack.

    Args:
        outlets: name -> tracker.
        folder: the run's.
        note: how to tell something.
    """

    def __init__(self, outlets: Mapping[str, Outlet], folder: Path, note: Callable[[str], None]) -> None:
        self._feeds = [_Feed(name, outlet, folder, note) for name, outlet in outlets.items()]

    def round_done(self, server_round: int) -> None:
        """Say that a round counts, or is about to."""
        for feed in self._feeds:
            feed.wake(server_round)

    def finish(self) -> None:
        """Say that the run is complete, and wait until the trackers have all of it."""
        for feed in self._feeds:
            feed.end(complete=True)
        for feed in self._feeds:
            feed.wait(FINISH_S)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Say that nothing more comes, as after an error."""
        for feed in self._feeds:
            feed.end(complete=False)
        for feed in self._feeds:
            feed.wait(STOP_S)


class _Feed:
    """One tracker and its thread, which ends with the process, whatever the tracker does."""

    def __init__(self, name: str, outlet: Outlet, folder: Path, note: Callable[[str], None]) -> None:
        self._name, self._outlet, self._folder, self._note = name, outlet, folder, note
        self._sink: Sink | None = None
        self._round = 0
        self._told: set[str] = set()
        self._changed = threading.Condition()
        self._is_due = self._is_over = self._is_complete = False
        self._thread = threading.Thread(target=self._work, name=f"tracking {name}", daemon=True)
        self._thread.start()

    def wake(self, server_round: int) -> None:
        """Let the tracker have what there is up to a round."""
        with self._changed:
            self._is_due, self._round = True, server_round
            self._changed.notify()

    def end(self, complete: bool) -> None:
        """Let the thread end after what there is."""
        with self._changed:
            if not self._is_over:
                self._is_over, self._is_complete, self._is_due = True, complete, self._is_due or complete
            self._changed.notify()

    def wait(self, seconds: float) -> None:
        """Wait for the thread, not for ever."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._tell(f"it does not answer for {seconds:.0f} s")

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_due or self._is_over)
                due, over, complete = self._is_due, self._is_over, self._is_complete
                self._is_due = False
            if due:
                self._bring(complete)
            if over and not (self._is_due and not complete):
                self._let_go()
                return

    def _bring(self, complete: bool) -> None:
        try:
            run = self._run_with(self._round)
            if self._sink is None:
                self._sink = self._outlet.open(run)
            self._outlet.bring(run, self._sink)
            if complete:
                self._outlet.finish(run, self._sink)
                self._note(f"tracking={self._name}: {self._outlet.place(run)}")
        except Exception as error:  # whatever it is: the run is worth more
            # The next round tries again, from the last one that the tracker has.
            self._let_go()
            self._tell(str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {one_line(error)}")

    def _run_with(self, server_round: int) -> Run:
        """Return the run as it is on the disk, anew each time, when the round is: another thread writes it."""
        deadline = time.monotonic() + _WRITTEN_S
        while True:
            run = Run(self._folder)
            if int(run.facts.get("round") or 0) >= server_round or self._is_over or time.monotonic() > deadline:
                return run
            time.sleep(0.02)

    def _let_go(self) -> None:
        sink, self._sink = self._sink, None
        try:
            if sink is not None:
                sink.close()
        except Exception as error:  # it has failed before, or fails at the end
            self._tell(f"{type(error).__name__}: {one_line(error)}")

    def _tell(self, why: str) -> None:
        if why in self._told:
            return
        self._told.add(why)
        later = f"the run goes on; python -m fedlayers.export {self._folder} --to {self._name} writes what it lacks"
        self._note(f"tracking={self._name} has not all of the run ({why}): {later}")
