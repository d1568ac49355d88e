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


def digest(data: bytes | memoryview) -> str:
    """Return 32 hexadecimal digits that name some bytes."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def seal_of(path: Path) -> Seal:
    """Return the seal of a file as it is now."""
    state, size = hashlib.blake2b(digest_size=16), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            state.update(chunk)
            size += len(chunk)
    return Seal(size, state.hexdigest())


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
