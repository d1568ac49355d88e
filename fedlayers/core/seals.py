"""Size and digest of a file, by which damage to it is noticed."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

_CHUNK_BYTES = 2**20


class Seal(NamedTuple):
    """What a file must have: its size in bytes, and 32 hexadecimal digits that any change of it changes."""

    size: int
    digest: str


class Sealing:
    """The seal of bytes that come piece by piece.

    Args:
        data: the first piece.
    """

    def __init__(self, data: bytes = b"") -> None:
        # Processors of today have instructions for it: three times as fast as BLAKE2.
        self._hash = hashlib.sha256(data)
        self._size = len(data)

    def add(self, data: bytes) -> None:
        """Take a further piece."""
        self._hash.update(data)
        self._size += len(data)

    @property
    def seal(self) -> Seal:
        """The seal of all pieces so far."""
        return Seal(self._size, self._hash.hexdigest()[:32])


def digest(data: bytes) -> str:
    """Return 32 hexadecimal digits that name some bytes."""
    return Sealing(data).seal.digest


def seal_of(path: Path) -> Seal:
    """Return the seal of a file as it is now."""
    sealing = Sealing()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sealing.add(chunk)
    return sealing.seal


def seals_from(content: object) -> dict[str, Seal]:
    """Return name -> seal from what JSON made of it."""
    entries = content if isinstance(content, Mapping) else {}
    return {str(name): Seal(int(size), str(digits)) for name, (size, digits) in entries.items()}


def sealed_json(content: Mapping[str, Any]) -> str:
    """Return a JSON object that holds its own digest."""
    return json.dumps({**content, "digest": digest(_canonical(content))})


def is_whole(content: Mapping[str, Any]) -> bool:
    """Say whether an object that :func:`sealed_json` wrote is as it was written."""
    rest = {key: value for key, value in content.items() if key != "digest"}
    return content.get("digest") == digest(_canonical(rest))


def _canonical(content: Mapping[str, Any]) -> bytes:
    # Once through JSON, for what is read back has lists for tuples.
    return json.dumps(json.loads(json.dumps(content)), sort_keys=True).encode()
