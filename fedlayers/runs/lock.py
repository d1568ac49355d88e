"""Keeps two processes from writing the same run folder.

On one machine the operating system's lock on the folder decides: it holds between containers, whatever their hosts and
processes are called and whatever the clock says, and falls when the process dies. It knows nothing of other machines:
between those decides the heartbeat of ``run.lock``, the card that says who writes.
"""

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import disk_errors
from fedlayers.runs import lock_card as card
from fedlayers.runs.lock_card import NAME, NOBODY_KNOWN, Card, Holder, LockedFolder, Say

__all__ = ["Held", "Holder", "LockedError", "holder_of", "lock"]

# Somebody who looks whether a folder is written (`holder_of`) holds its lock for an instant.
_GLANCE_S = 1.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")
# Descriptors of the folders that this process holds: a forked child must not keep them when its parent dies.
_HELD: set[int] = set()


class LockedError(Exception):
    """Another live process writes this folder; the text says which."""


class Held:
    """A folder that is ours until :meth:`release`.

    Attributes:
        lost: whether another process has taken the folder over because it saw no sign of life of ours for long.
    """

    def __init__(self, place: LockedFolder, data: bytes, on_loss: Callable[[], None]) -> None:
        self.lost = False
        self._place, self._data, self._on_loss = place, data, on_loss
        self._owner = os.getpid()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=NAME, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Look whether the folder is still ours, before its files say how the run ended.

        Raises:
            LockedError: another process has taken it over.
        """
        if self.lost:
            raise LockedError(
                "another process has taken the run over, which saw no sign of life of this one for minutes"
            )

    def release(self) -> None:
        """Take our card away, if it is still ours."""
        if os.getpid() != self._owner:
            return
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(OSError, UserError):
            if self._is_mine(card.look(self._place)):
                os.unlink(NAME, dir_fd=self._place.descriptor)

    def _is_mine(self, found: Card | None) -> bool:
        return found is not None and found.data == self._data

    def _beat(self) -> None:
        while not self._stop.wait(card.HEARTBEAT_S):
            # The disk may be gone for a while, as on a network.
            with contextlib.suppress(OSError, UserError):
                found = card.look(self._place)
                if self._is_mine(found):
                    os.utime(NAME, dir_fd=self._place.descriptor)
                    continue
                if found is not None and not found.said:  # damaged, so nobody's
                    card.remove_stale(self._place, found)
                    found = None
                if found is not None or not card.put(self._place, self._data):  # or somebody has deleted it
                    self.lost = True
                    self._on_loss()
                    return


def holder_of(folder: Path) -> Holder | None:
    """Return who writes a folder, None if nobody does, or nobody has given a sign of life for a while.

    Raises:
        UserError: ``run.lock`` is no file.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        place = LockedFolder(folder, descriptor)
        found = card.look(place)
        speaks = _locked_here(place, fcntl.LOCK_SH)
        if speaks is False:
            return found.holder if found else NOBODY_KNOWN
        if found is None or _left_here(place, found, speaks):
            return None
        return found.holder if time.time() - found.touched_ns / 1e9 < card.STALE_S else None
    finally:
        os.close(descriptor)


@contextmanager
def lock(folder: Path, say: Say = print, on_loss: Callable[[], None] = lambda: None) -> Iterator[Held]:
    """Hold ``run.lock`` in a folder for a block of code; a stale lock is taken over.

    Args:
        folder: the folder, which may be renamed meanwhile.
        say: how to tell that it takes a while to see whether a process on another machine lives.
        on_loss: called in another thread if another process takes the folder over.

    Raises:
        LockedError: a live process holds it.
        UserError: ``run.lock`` is no file, or the folder cannot be written.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    _HELD.add(descriptor)
    try:
        place = LockedFolder(folder, descriptor)
        with disk_errors(folder / NAME):
            data = _acquire(place, say)
        held = Held(place, data, on_loss)
        try:
            yield held
        finally:
            held.release()
    finally:
        if descriptor in _HELD:  # not in a forked child, which has closed it
            _HELD.discard(descriptor)
            os.close(descriptor)


def _acquire(place: LockedFolder, say: Say) -> bytes:
    """Make this folder ours and return what our card says."""
    deadline = time.monotonic() + _GLANCE_S
    while (speaks := _locked_here(place, fcntl.LOCK_EX)) is False:
        if time.monotonic() > deadline:
            found = card.look(place)
            raise LockedError(str(found.holder if found else NOBODY_KNOWN))
        time.sleep(0.02)
    me = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        **_reach(place, speaks),
        **_job(),
        "token": uuid.uuid4().hex,
    }
    data = json.dumps(me).encode()
    while not card.put(place, data):
        found = card.look(place)
        if found is None:
            continue
        is_dead = _left_here(place, found, speaks) or _is_this_job(found)
        if not is_dead and card.lives(place, found, say):
            raise LockedError(str(found.holder))
        card.remove_stale(place, found)
    return data


def _locked_here(place: LockedFolder, kind: int) -> bool | None:
    """Take the operating system's lock on a folder: False if another process has it, None if there are no locks.

    The folder's, not a file's: on network file systems a folder's is this machine's own, whatever the server does.
    """
    try:
        fcntl.flock(place.descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _reach(place: LockedFolder, speaks: bool | None) -> dict[str, Any]:
    """Return what tells how far the operating system's lock reaches: this kernel's view of this file system."""
    return {"kernel": _kernel(), "device": os.fstat(place.descriptor).st_dev} if speaks else {}


def _left_here(place: LockedFolder, found: Card, speaks: bool | None) -> bool:
    """Say whether a card is from within reach of the operating system's lock, which is ours: its process has died."""
    reach = _reach(place, speaks)
    return bool(reach) and {key: found.said.get(key) for key in reach} == reach


@lru_cache(maxsize=1)
def _kernel() -> str:
    """Return what no other running kernel has and its containers share."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return socket.gethostname()


def _is_this_job(found: Card) -> bool:
    """Say whether a card was left by this very job, before SLURM queued it again."""
    mine, restart = _job(), found.said.get("restart", 0)
    again = isinstance(restart, int) and mine["restart"] > restart
    return again and mine["job"] is not None and mine["job"] == found.said.get("job")


def _job() -> dict[str, Any]:
    """Return this SLURM job's number as the queue shows it, None outside one, and how often it was queued again."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    job = f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")
    return {"job": job, "restart": int(os.environ.get("SLURM_RESTART_COUNT", "0"))}


def _leave_to_parent() -> None:
    """Let a forked child hold no folder."""
    for descriptor in _HELD:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _HELD.clear()


os.register_at_fork(after_in_child=_leave_to_parent)
