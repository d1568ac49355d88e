"""The file ``run.lock`` of a run folder: a card that says who writes there, and is touched while they live."""

import errno
import json
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fedlayers.core.errors import UserError

NAME = "run.lock"
HEARTBEAT_S = 10.0
STALE_S = 120.0
POLL_S = 0.5
# What a file system says that has no hard links.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Holder:
    """Who writes a folder; without a host if the card cannot be read."""

    host: str | None
    pid: int
    job: str | None

    def __str__(self) -> str:
        """Return host, process and job, for people."""
        if self.host is None:
            return f"a process that left no readable {NAME}"
        return f"{self.host}, process {self.pid}" + (f", job {self.job}" if self.job else "")


NOBODY_KNOWN = Holder(None, 0, None)


@dataclass(frozen=True)
class LockedFolder:
    """A folder by its path, for people, and by a descriptor, which stays right if the folder is renamed."""

    path: Path
    descriptor: int


@dataclass(frozen=True)
class Card:
    """What ``run.lock`` held at one moment.

    Attributes:
        data: its bytes.
        inode: its number in the file system.
        touched_ns: when it was written or touched last, by the clock of the file system.
    """

    data: bytes
    inode: int
    touched_ns: int

    @cached_property
    def said(self) -> dict[str, Any]:
        """The content; empty if it is damaged."""
        try:
            found = json.loads(self.data)
        except ValueError:
            return {}
        return found if isinstance(found, dict) and isinstance(found.get("host"), str) else {}

    @property
    def holder(self) -> Holder:
        """Who wrote it."""
        pid, job = self.said.get("pid"), self.said.get("job")
        return Holder(self.said.get("host"), pid if isinstance(pid, int) else 0, str(job) if job else None)

    def is_same(self, other: "Card | None") -> bool:
        """Say whether both are one file, touched or not."""
        return other is not None and (self.data, self.inode) == (other.data, other.inode)


def look(place: LockedFolder) -> Card | None:
    """Return what is in ``run.lock`` now, None if there is none.

    It is opened each time: network file systems look again only then.

    Raises:
        UserError: it is no file.
    """
    try:
        file = os.open(NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place.descriptor)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _no_file(place) from error
        raise
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            raise _no_file(place)
        return Card(os.read(file, 1 << 16), about.st_ino, about.st_mtime_ns)
    finally:
        os.close(file)


def put(place: LockedFolder, data: bytes) -> bool:
    """Make the card with its content in one step; False if there is one."""
    here = place.descriptor
    with _scratch(place, data) as scratch:
        try:
            os.link(scratch, NAME, src_dir_fd=here, dst_dir_fd=here)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _put_directly(place, data)
    return True


def lives(place: LockedFolder, card: Card, say: Say) -> bool:
    """Watch a card until it is touched or has been still for too long; False also if it goes or changes.

    How long it has been still is told by the file system's own clock, for machines' clocks differ; and it is watched
    for more than two heartbeats, for that clock may have been set.
    """
    with _scratch(place, b"") as scratch:
        now_ns = os.stat(scratch, dir_fd=place.descriptor).st_mtime_ns
    still_s = max(0.0, (now_ns - card.touched_ns) / 1e9)
    watch_s = min(STALE_S, max(STALE_S - still_s, 2.5 * HEARTBEAT_S))
    say(
        f"waiting up to {watch_s:.0f} s for a sign of life of {card.holder}, whose {NAME} is in {place.path} "
        f"(the last came {still_s:.0f} s ago)"
    )
    deadline = time.monotonic() + watch_s
    while time.monotonic() < deadline:
        time.sleep(POLL_S)
        now = look(place)
        if now is None or not card.is_same(now):
            return False
        if now.touched_ns != card.touched_ns:
            return True
    return False


def remove_stale(place: LockedFolder, card: Card) -> None:
    """Take a dead holder's card away; of several machines that find it stale one wins, and the rest try again."""
    if not card.is_same(look(place)):
        return
    here = place.descriptor
    aside = f".{NAME}.stale.{uuid.uuid4().hex}"
    with suppress(FileNotFoundError):
        os.rename(NAME, aside, src_dir_fd=here, dst_dir_fd=here)
        # The winner may have made its own card since this one was read: that one goes back.
        if os.stat(aside, dir_fd=place.descriptor).st_ino != card.inode:
            with suppress(FileExistsError):
                os.link(aside, NAME, src_dir_fd=here, dst_dir_fd=here)
        os.unlink(aside, dir_fd=place.descriptor)


def _no_file(place: LockedFolder) -> UserError:
    return UserError(
        f"{place.path / NAME} must be a file, which fedlayers makes and removes itself: move away what has that name "
        "and start the same command again"
    )


@contextmanager
def _scratch(place: LockedFolder, data: bytes) -> Iterator[str]:
    """Hold a file with some content in the folder for a block of code; yield its name."""
    name = f".{NAME}.{uuid.uuid4().hex}"
    try:
        _write(place, name, data)
        yield name
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=place.descriptor)


def _put_directly(place: LockedFolder, data: bytes) -> bool:
    """Make the card where there are no hard links; for an instant it is empty."""
    try:
        _write(place, NAME, data)
    except FileExistsError:
        return False
    return True


def _write(place: LockedFolder, name: str, data: bytes) -> None:
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=place.descriptor)
    try:
        os.write(file, data)
    finally:
        os.close(file)
