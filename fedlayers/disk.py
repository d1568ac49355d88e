"""Files that are whole or not there: written under a name with a dot, fsynced, renamed; a full disk says so."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedlayers.errors import UserError


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON file's content, empty if the file is not there."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return content


def write_text(path: Path, text: str) -> None:
    """Replace a file atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file atomically: written under a name with a dot, fsynced, renamed."""
    scratch = path.parent / f".{path.name}"
    with disk_errors(path), scratch.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def fsync(path: Path) -> None:
    """Wait until a file is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full or read-only disk into one sentence that names the place."""
    reasons = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EROFS: "the file system is read-only",
        errno.EACCES: "permission is denied",
    }
    try:
        yield
    except OSError as error:
        if error.errno not in reasons:
            raise
        raise UserError(
            f"cannot write {error.filename or path}: {reasons[error.errno]}; mend that (or choose another "
            "results_dir=...) and start the same command again: every committed round is safe"
        ) from error
