"""Sealed folders: a manifest says size and digest of every file, so that damage is found before the content is used."""

import contextlib
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

from fedlayers.core.machine.disk import fsync
from fedlayers.core.seals import Seal, digest, seal_of

MANIFEST = "manifest.json"
# A file that was written this short a time ago may be written again without getting another time stamp.
SETTLED_NS = 100_000_000
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# What this process has compared itself, for folders into which nothing can be written: folder -> time stamps.
_compared: dict[Path, dict[str, list[int]]] = {}


def seal(folder: Path) -> None:
    """Write the manifest of a folder's files, and wait until all of them are on the disk."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    seals = {path.name: seal_of(path) for path in files}
    content = {name: {"size": found.size, "sha256": found.digest} for name, found in seals.items()}
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps({"files": content}), encoding="utf-8")
    for path in (*files, manifest, folder):
        fsync(path)


def sealed_files(folder: Path) -> frozenset[str]:
    """Return the names of the files that belong to a whole sealed folder, whatever else lies in it."""
    return frozenset(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"])


def damage(folder: Path) -> str | None:
    """Return what is wrong with a sealed folder, None if it holds what was sealed.

    Sizes are compared every time. Digests are compared when the folder is first opened since this machine was
    started, and again when a time stamp or an inode of a file has changed since; that it was done is written down in
    the folder, in a file of this machine's own.
    """
    try:
        sealed = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        # Older versions wrote all 64 digits.
        expected = {name: Seal(int(entry["size"]), str(entry["sha256"])[:32]) for name, entry in sealed.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return f"{MANIFEST} is missing or damaged"
    try:
        stamps = {name: _stamp(folder / name) for name in expected}
        for name, sealed_as in expected.items():
            if (folder / name).stat().st_size != sealed_as.size:
                return f"{name} has another size"
        if stamps in (_compared.get(folder), _noted(folder)):
            return None
        wrong = next((name for name, sealed_as in expected.items() if seal_of(folder / name) != sealed_as), None)
    except OSError as error:
        return f"{Path(error.filename or folder).name} cannot be read"
    if wrong is not None:
        return f"{wrong} has another content"
    _note(folder, stamps)
    return None


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _boot() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _note_path(folder: Path) -> Path:
    return folder / f".compared-{digest(platform.node().encode())[:12]}"


def _noted(folder: Path) -> Any:
    """Return the files' time stamps when their digests were last compared on this machine; None if they were not."""
    try:
        note = json.loads(_note_path(folder).read_text(encoding="utf-8"))
        return note["stamps"] if note["boot"] == _boot() else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _note(folder: Path, stamps: dict[str, list[int]]) -> None:
    """Write down that digests were compared, unless a file is so new that it might change unnoticed."""
    newest = max((stamp[-1] for stamp in stamps.values()), default=0)
    if newest > time.time_ns() - SETTLED_NS:
        return
    _compared[folder] = stamps
    note, draft = _note_path(folder), folder / f".{os.getpid()}"
    with contextlib.suppress(OSError):  # a folder that is only read is compared once by every process
        draft.write_text(json.dumps({"boot": _boot(), "stamps": stamps}), encoding="utf-8")
        draft.replace(note)
