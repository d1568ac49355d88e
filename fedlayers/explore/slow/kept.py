"""Results of slow work on disk, by what they were made of: asked again, nothing is computed."""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from fedlayers.core.machine.disk import make_folder, whole_file
from fedlayers.core.seals import seal_of

_BYTES = 2 * 2**30
# Numbers may differ from one of these to the next.
_MADE_BY = ("fedlayers", "torch", "numpy", "scikit-learn")
# Of the columns and facts that results have: one more whenever these change, so that older ones are not taken for them.
_FORM = 2


@dataclass(frozen=True)
class Kept:
    """A folder of results.

    Attributes:
        folder: where they are; made when the first one is kept.
        limit: how many bytes; what was asked for longest ago goes first.
    """

    folder: Path
    limit: int = _BYTES

    def find(self, key: str, part: str) -> pa.Table | None:
        """Return a part of the result of a key, None if there is none."""
        file = self._file(key, part)
        try:
            with pa.memory_map(str(file)) as source:
                found = pa.ipc.open_file(source).read_all()
        except (OSError, pa.ArrowInvalid):
            return None
        with suppress(OSError):  # where nothing can be written
            os.utime(file)
        return found

    def holds(self, key: str) -> bool:
        """Say whether the result of a key is kept."""
        return any(self.folder.glob(f"{key}-*.arrow"))

    def keep(self, key: str, parts: Mapping[str, pa.Table]) -> None:
        """Keep the parts of a result.

        Raises:
            DiskError: the disk is full, or cannot be written.
        """
        make_folder(self.folder)
        for part, table in parts.items():
            with whole_file(self._file(key, part)) as file, pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
        self._shrink()

    def _file(self, key: str, part: str) -> Path:
        return self.folder / f"{key}-{part}.arrow"

    def _shrink(self) -> None:
        files = []
        for file in self.folder.glob("*.arrow"):
            with suppress(FileNotFoundError):  # another service has shrunk it
                found = file.stat()
                files.append((found.st_mtime, found.st_size, file))
        files.sort()
        excess = sum(size for _, size, _ in files) - self.limit
        for _, size, file in files:
            if excess <= 0:
                break
            file.unlink(missing_ok=True)
            excess -= size


def key_of(work: str, asked: Mapping[str, Any], made_of: Mapping[str, str]) -> str:
    """Return the key of a result: the same for the same work on the same contents.

    Args:
        work: its name.
        asked: its parameters.
        made_of: name -> digest or identity of what it reads.
    """
    versions = {name: version(name) for name in _MADE_BY}
    text = json.dumps([_FORM, work, dict(asked), dict(made_of), versions], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def digest_of(file: Path) -> str:
    """Return the digest of a file, which is read again only if it has changed."""
    found = file.stat()
    return _digest(str(file), found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=4096)
def _digest(file: str, size: int, changed: int) -> str:
    return seal_of(Path(file)).digest
