"""The temporary folder of a Ray of our own: removed at the end, or by a later run if the process was killed."""

import atexit
import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

_PREFIX = "fl"
_LOCK = "owner.lock"


def ray_folder() -> str:
    """Return a new temporary folder with a name that is short enough for Ray's Unix sockets."""
    parent = tempfile.gettempdir()
    parent = parent if len(parent) < 25 and Path(parent).is_dir() else "/tmp"
    remove_left_over(Path(parent))
    folder = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
    owner = FileLock(Path(folder) / _LOCK)
    with contextlib.suppress(OSError, NotImplementedError):  # a file system without locks keeps what is left over
        owner.acquire(blocking=False)
    atexit.register(_remove, folder, owner)
    return folder


def remove_left_over(parent: Path) -> None:
    """Remove such folders whose processes have gone: the kernel gives up the locks of a process that was killed."""
    for lock in parent.glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError, NotImplementedError, Timeout):
            # Only into folders of ours nobody else can have put something (and a link there is another user's own).
            if lock.parent.lstat().st_uid == os.getuid():
                with FileLock(lock, blocking=False):
                    shutil.rmtree(lock.parent, ignore_errors=True)


def _remove(folder: str, owner: FileLock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    owner.release(force=True)
