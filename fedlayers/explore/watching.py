"""When runs go on: what changed since the last look, for all who listen."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path

from fedlayers.explore.place import Place

# What a run writes at the end of each round, or when it begins or ends, and what people note.
_TOUCHED = ("run.json", "done.json", "records", "resources", "annotations.json")
_SECONDS = 1.0

State = Mapping[str, int]


class Watcher:
    """Looks at most once a second which runs of a place have changed, however many ask.

    Args:
        place: the folder that is explored.
    """

    def __init__(self, place: Place) -> None:
        self._place, self._lock = place, threading.Lock()
        self._seen: State = {}
        self._looked = 0.0

    def state(self) -> State:
        """Return a number per run that grows when the run changes."""
        with self._lock:
            if time.monotonic() - self._looked > _SECONDS:
                self._seen = {name: _changed(self._folder(name)) for name in self._place.names()}
                self._looked = time.monotonic()
            return self._seen

    def _folder(self, name: str) -> Path:
        return self._place.root if self._place.is_run else self._place.root / name


def _changed(run: Path) -> int:
    """Return when a run last changed, in nanoseconds."""
    times = [0]
    for name in _TOUCHED:
        try:
            times.append((run / name).lstat().st_mtime_ns)
        except OSError:
            continue
    return max(times)
