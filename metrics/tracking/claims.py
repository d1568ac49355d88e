"""Whose folder is it? Trackers of one training share one; another training, or another process, goes beside it."""

import fcntl
import os
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedlayers.core.layers import Layer
from fedlayers.core.quantities import Facts
from fedlayers.core.records import Row
from fedlayers.core.tables.row_folder import RowFolder
from metrics.tracking.isolation import Telling, tell

# Resolved path -> claim, of this process, for as long as a tracker holds it.
_CLAIMS: "weakref.WeakValueDictionary[Path, Claim]" = weakref.WeakValueDictionary()


@dataclass(frozen=True)
class Share:
    """What one tracker has in the tables of a folder.

    Attributes:
        facts: how to read its values.
        layers: of its model, in order.
        rows: epoch -> rows; it grows while the tracker works.
    """

    facts: Sequence[Facts]
    layers: Sequence[Layer]
    rows: Mapping[int, Sequence[Row]]


class Claim:
    """A folder that this process writes, until nobody holds the claim any more.

    The operating system's lock on the folder keeps other processes away and falls with the process.

    Args:
        path: the folder, which is there.
        is_alone: whether one tracker shares it with nobody.

    Attributes:
        names: of the JSON files of the trackers that write here.
        is_ours: whether no other process writes here.
    """

    def __init__(self, path: Path, is_alone: bool) -> None:
        self.path, self.is_alone, self.names = path, is_alone, set[str]()
        self._shares: dict[str, Share] = {}
        self._folder: RowFolder | None = None
        self._written: dict[int, int] = {}
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        weakref.finalize(self, os.close, descriptor)
        self.is_ours = _locked(descriptor)

    def save(self, name: str, share: Share) -> None:
        """Write what a tracker, named by its JSON file, and those before it have new, and make the folder complete."""
        if name not in self._shares or self._folder is None:
            self._shares[name], self._written = share, {}
            facts = [fact for one in self._shares.values() for fact in one.facts]
            layers = max((one.layers for one in self._shares.values()), key=len)
            self._folder = RowFolder(self.path, facts, layers, algorithm="own loop")
        for epoch in sorted({epoch for one in self._shares.values() for epoch in one.rows}):
            rows = [row for one in self._shares.values() for row in one.rows.get(epoch, ())]
            if self._written.get(epoch) != len(rows):
                self._folder.write(epoch, rows)
                self._written[epoch] = len(rows)
        self._folder.finish()


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def claim(tracker: Telling, wanted: Path, name: str, alone: bool = False) -> Claim | None:
    """Return a folder for a tracker: the wanted one, or one beside it, which is told; None if it cannot be written.

    Beside it: where the wanted one holds an earlier training, another process writes it, or a tracker of this process
    writes files of the same name there.

    Args:
        tracker: it is told.
        wanted: the folder, made if it is not there.
        name: of the tracker's JSON file; trackers of other names share the folder.
        alone: whether it shares the folder with nobody.
    """
    place, number, why = wanted, 2, ""
    while True:
        try:
            found = _taken(place, name, alone)
        except OSError:
            return None
        if isinstance(found, Claim):
            break
        place, number, why = wanted.with_name(f"{wanted.name}-{number}"), number + 1, why or found
    if place != wanted:
        tell(tracker, f"{wanted} {why}: this one goes to {place}")
    return found


def _taken(place: Path, name: str, alone: bool) -> Claim | str:
    """Return a claim on a folder, or why there is none."""
    place.mkdir(parents=True, exist_ok=True)
    key = place.resolve()
    held = _CLAIMS.get(key)
    shared = held is not None and name not in held.names and not alone and not held.is_alone
    if not shared and (place / "run.json").exists():
        return "holds an earlier training"
    if held is not None and not shared:
        return "is written by another tracker of this process"
    held = held or Claim(place, alone)
    if not held.is_ours:
        return "is written by another process"
    _CLAIMS[key] = held
    held.names.add(name)
    return held
