"""Where data sets and prepared arrays are kept, and how one process at a time prepares them."""

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from filelock import FileLock

from fedlayers.core.errors import UserError
from fedlayers.core.machine.cache_root import cache_root
from fedlayers.core.machine.disk import fsync
from fedlayers.data.sealed_folder import damage, seal

# A draft that nobody has added a file to for this long was left by a killed process.
ABANDONED_S = 24 * 3600


def data_root(data_dir: str | None) -> Path:
    """Return the folder of the data sets' files: ``data_dir``, else ``FEDLAYERS_DATA``, else the cache's ``data``."""
    chosen = data_dir or os.environ.get("FEDLAYERS_DATA")
    return Path(chosen).expanduser().resolve() if chosen else cache_root() / "data"


@contextlib.contextmanager
def writing_cache(purpose: str = "") -> Iterator[None]:
    """Turn what the system says about a cache that cannot be written into one sentence, with what it was for."""
    try:
        yield
    except OSError as error:
        # NumPy says how many bytes were not written, and not why.
        reason = error.strerror or "the disk is full"
        raise UserError(
            f"FEDLAYERS_CACHE must name a folder that can be written to{purpose}, got {cache_root()} ({reason}); "
            "mend that or set it to another folder"
        ) from error


def build_once(folder: Path, build: Callable[[Path], None]) -> str | None:
    """Have a folder built if it does not exist or is damaged; only complete folders ever have its name.

    Args:
        folder: the folder to have in the end; one that exists and is whole is taken as it is.
        build: fills an empty folder whose path it is given; runs in one process at a time.

    Returns:
        A sentence if the folder was damaged and built again, else None.

    Raises:
        UserError: if the cache folder cannot be written.
    """
    fault = damage(folder)
    if fault is None:
        return None
    with writing_cache(f" (for {folder.name} in it is damaged: {fault})" if folder.exists() else ""):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f".{folder.name}.lock")
        lock.acquire()
    try:
        fault = damage(folder)  # another process may have been faster
        if fault is None:
            return None
        was_there = folder.exists()
        _build(folder, build)
    finally:
        lock.release()
    return f"the prepared data in {folder} was damaged ({fault}) and has been made again" if was_there else None


def _build(folder: Path, build: Callable[[Path], None]) -> None:
    draft = _beside(folder)
    with writing_cache():
        _clear(folder)
        draft.mkdir()
    try:
        build(draft)
        with writing_cache():
            seal(draft)
            _put(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _put(draft: Path, folder: Path) -> None:
    """Give a finished folder its name; a damaged one of that name goes, a whole one stays."""
    if damage(folder) is None:
        return
    if os.path.lexists(folder):
        old = _beside(folder)
        folder.rename(old)  # who has mapped its files keeps them
        _remove(old)
    try:
        draft.rename(folder)
    except OSError:
        # Locks do not reach across the machines of some network disks: another one may have finished first.
        if damage(folder) is not None:
            raise
    fsync(folder.parent)


def _clear(folder: Path) -> None:
    """Remove drafts that killed processes left; young ones may be another machine's, which locks do not reach."""
    for draft in folder.parent.glob(f".{folder.name}.*"):
        with contextlib.suppress(OSError):
            if draft.is_dir() and draft.stat().st_mtime < time.time() - ABANDONED_S:
                shutil.rmtree(draft, ignore_errors=True)


def _beside(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.{uuid.uuid4().hex[:12]}"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an array into a folder of the cache.

    Raises:
        UserError: if the cache folder cannot be written.
    """
    with writing_cache():
        np.save(path, array, allow_pickle=False)


def save_text(path: Path, text: str) -> None:
    """Write a text into a folder of the cache.

    Raises:
        UserError: if the cache folder cannot be written.
    """
    with writing_cache():
        path.write_text(text, encoding="utf-8")


def open_array(path: Path) -> np.ndarray:
    """Return the array of an ``.npy`` file, mapped into memory; changes to it stay in this process.

    Copy-on-write mapping, because torch warns about tensors on read-only memory.
    """
    array: np.ndarray = np.load(path, mmap_mode="c", allow_pickle=False)
    return array
