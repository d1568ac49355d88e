"""What was worked out of a run, for as long as the run does not go on."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from fedlayers.core.records import SCHEMAS

T = TypeVar("T")
_BYTES = 512 * 2**20
# What a small result takes, with what is kept beside it.
_SMALL = 4096


class Remembered:
    """Results that are asked for again and again: scores in a table of hundreds of runs, charts of a page read anew.

    Args:
        limit: how many bytes of results are kept; the one that was asked for longest ago goes first.
    """

    def __init__(self, limit: int = _BYTES) -> None:
        self._limit, self._held = limit, 0
        self._lock = threading.Lock()
        self._making: dict[tuple[Path, str], threading.Lock] = {}
        self._known: OrderedDict[tuple[Path, str], tuple[object, Any]] = OrderedDict()

    def of(self, run: Path, what: str, made: Callable[[Path], T]) -> T:
        """Return what a function makes of a run, remembered until another part of its tables is written.

        Args:
            run: its folder.
            what: the name of the result.
            made: makes it.
        """
        key, state = (run, what), _state_of(run)
        with self._lock:
            own = self._making.setdefault(key, threading.Lock())
        # Several who ask for one result wait for one making.
        with own:
            found: T | None = self._found(key, state)
            if found is None:
                found = made(run)
                self._keep(key, state, found)
        return found

    def known(self, run: Path, what: str) -> Any:
        """Return what was made before if it holds still, None if not.

        Args:
            run: its folder.
            what: the name of the result.
        """
        return self._found((run, what), _state_of(run))

    def _found(self, key: tuple[Path, str], state: object) -> Any:
        with self._lock:
            kept = self._known.get(key)
            if kept is None or kept[0] != state:
                return None
            self._known.move_to_end(key)
            return kept[1]

    def _keep(self, key: tuple[Path, str], state: object, found: object) -> None:
        with self._lock:
            self._held += _size(found) - _size(self._known.pop(key, (None, b""))[1])
            self._known[key] = (state, found)
            while self._held > self._limit and len(self._known) > 1:
                oldest, (_, dropped) = self._known.popitem(last=False)
                self._held -= _size(dropped)
                self._making.pop(oldest, None)


def state_of(run: Path, table: str) -> object:
    """Return what changes whenever a part of a table is written, which is by renaming."""
    folder = run / table
    if not folder.is_dir():
        return None
    return folder.stat().st_mtime_ns, sorted(part.name for part in folder.iterdir())


def _state_of(run: Path) -> object:
    return tuple(state_of(run, table) for table in SCHEMAS)


def _size(found: object) -> int:
    if isinstance(found, bytes):
        return len(found) and len(found) + _SMALL
    return _SMALL + (int(found.memory_usage().sum()) if isinstance(found, pd.DataFrame) else 0)
