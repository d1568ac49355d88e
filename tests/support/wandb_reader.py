"""Reads the file that Weights & Biases writes offline: their records, in blocks as those of LevelDB's log.

They have no reader in Python; the messages are theirs (``wandb.proto``), the frame is seven bytes, then blocks of 32 kB
with pieces of a checksum (4 bytes), a length (2) and a kind (1: whole, 2: first, 3: middle, 4: last).
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_HEAD, _PIECE, _BLOCK = 7, 7, 32768


def history(file: Path) -> list[dict[str, Any]]:
    """Return what was logged, a dictionary a call."""
    return [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in records(file)
        if record.WhichOneof("record_type") == "history"
    ]


def settings(file: Path) -> dict[str, Any]:
    """Return the configuration of the run."""
    [run] = [record.run for record in records(file) if record.WhichOneof("record_type") == "run"]
    return {item.key: json.loads(item.value_json) for item in run.config.update}


def records(file: Path) -> Iterator[Any]:
    """Yield their records."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = file.read_bytes(), _HEAD, b""
    assert data[:4] == b":W&B"
    while at + _PIECE <= len(data):
        if _BLOCK - at % _BLOCK < _PIECE:
            at += _BLOCK - at % _BLOCK
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + _PIECE])
        parts += data[at + _PIECE : at + _PIECE + length]
        at += _PIECE + length
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record
