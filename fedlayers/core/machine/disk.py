"""Files that are whole or not there: written under a name with a dot, fsynced, renamed; a full disk says so."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import yaml

from fedlayers.core.errors import UserError

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "files may not grow that large here (ulimit -f)",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EIO: "the disk reports an error",
    errno.EISDIR: "there is a folder of that name",
    errno.ENOTDIR: "a part of that path is a file",
    errno.EEXIST: "there is something else of that name",
    errno.ENOTEMPTY: "there is a folder of that name",
    errno.ENAMETOOLONG: "the name is too long",
}
_OF_A_RUN = (
    "mend that (or choose another results_dir=...) and start the same command again: every committed round is safe"
)
_OF_ANYTHING = "mend that and start the same command again"


class DiskError(UserError):
    """A disk is full, or cannot be written: the sentence says which and where."""


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds, read by libyaml where there is one, which takes a tenth of the time.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_bytes(), Loader=loader)


def read_json(path: Path, way_on: str) -> dict[str, Any]:
    """Return a JSON file's content, empty if the file is not there.

    Args:
        path: the file.
        way_on: what the user is told to do if it cannot be read.

    Raises:
        UserError: it holds no JSON object.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise UserError(f"{path} cannot be read ({cause}): {way_on}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold an object, got {type(content).__name__}: {way_on}")
    return content


def write_text(path: Path, text: str) -> None:
    """Replace a file atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file atomically: written under a name with a dot, fsynced, renamed."""
    with whole_file(path, of_a_run=True) as file:
        file.write(data)


@contextmanager
def whole_file(path: Path, of_a_run: bool = False) -> Iterator[IO[bytes]]:
    """Write a file in a block of code: it has its name, and replaces the old one, when the block ends without error.

    Raises:
        DiskError: the disk is full, or cannot be written.
    """
    scratch = path.parent / f".{path.name}"
    with disk_errors(path, of_a_run):
        try:
            with scratch.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        except BaseException:
            with suppress(OSError):
                scratch.unlink()
            raise


def make_folder(path: Path) -> None:
    """Make a folder and those above it, as far as they are not there.

    Raises:
        DiskError: it cannot be made.
    """
    with disk_errors(path, of_a_run=False):
        path.mkdir(parents=True, exist_ok=True)


def fsync(path: Path) -> None:
    """Wait until a file is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors(path: Path, of_a_run: bool = True) -> Iterator[None]:
    """Turn a full or read-only disk into one sentence that names the place.

    Args:
        path: what is written, where the error does not say it.
        of_a_run: whether what to do next is about a run's folder.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REASONS:
            raise
        place = error.filename2 or error.filename or path
        way_on = _OF_A_RUN if of_a_run else _OF_ANYTHING
        raise DiskError(f"cannot write {place}: {_REASONS[error.errno]}; {way_on}") from error
