"""Where data sets and prepared arrays are kept, and how one process at a time prepares them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import platformdirs
from filelock import FileLock

from fedlayers.errors import UserError


def cache_root() -> Path:
    """Return the folder of prepared arrays: ``FEDLAYERS_CACHE`` if set, else the user's cache folder."""
    chosen = os.environ.get("FEDLAYERS_CACHE")
    return Path(chosen).expanduser().resolve() if chosen else platformdirs.user_cache_path("fedlayers")


def data_root(data_dir: str | None) -> Path:
    """Return the folder of the data sets' files: ``data_dir``, else ``FEDLAYERS_DATA``, else the cache's ``data``."""
    chosen = data_dir or os.environ.get("FEDLAYERS_DATA")
    return Path(chosen).expanduser().resolve() if chosen else cache_root() / "data"


def build_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """Return the folder, built first if it does not exist; only complete folders ever have its name.

    Args:
        folder: the folder to have in the end; one that exists is taken as it is.
        build: fills an empty folder whose path it is given; runs in one process at a time.

    Raises:
        UserError: if the cache folder cannot be written.
    """
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f".{folder.name}.lock")
        lock.acquire()
    except OSError as error:
        raise UserError(
            f"FEDLAYERS_CACHE must name a folder that can be written to, got {cache_root()} ({error.strerror}); "
            "set it to another folder"
        ) from error
    try:
        if not folder.is_dir():
            _build(folder, build)
    finally:
        lock.release()
    return folder


def _build(folder: Path, build: Callable[[Path], None]) -> None:
    draft = folder.parent / f".{folder.name}.{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)  # left by a killed process that had the same number
    draft.mkdir()
    try:
        build(draft)
        draft.rename(folder)
    except OSError:
        # Locks do not reach across the machines of some network disks: another one may have finished first.
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def open_array(path: Path) -> np.ndarray:
    """Return the array of an ``.npy`` file, mapped into memory; changes to it stay in this process.

    Copy-on-write mapping, because torch warns about tensors on read-only memory.
    """
    array: np.ndarray = np.load(path, mmap_mode="c", allow_pickle=False)
    return array
