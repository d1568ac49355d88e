"""Flower's serialised arrays with one copy on the way in, none on the way out, and none through Ray's object store."""

import ast
import warnings
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, Message, RecordDict
from torch import Tensor

from fedlayers.flower.adapter import make_array, make_array_record, records_of

_STYPE = "numpy.ndarray"

# Torch notes, once a process, that a view of received bytes is read-only; it does so here and nobody sees it.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.from_numpy(np.frombuffer(b"\0", np.uint8))


def encode(array: np.ndarray) -> Array:
    """Return an array as Flower serialises it (``np.save``'s format), with a single copy of the data."""
    packed = np.ascontiguousarray(array).reshape(array.shape)
    header = _header(packed.dtype.str, packed.shape)
    # An array without numbers has no bytes to cast.
    data = packed.data.cast("B") if packed.size else b""
    return make_array(_name(packed.dtype), tuple(packed.shape), _STYPE, b"".join([header, data]))


def decode(array: Array) -> np.ndarray:
    """Return a serialised array as a read-only view of its bytes; what is not plain C order is copied."""
    data = memoryview(array.data)
    if array.stype != _STYPE or bytes(data[:8]) != b"\x93NUMPY\x01\x00":
        return array.numpy()
    start = 10 + int.from_bytes(data[8:10], "little")
    descr, fortran, shape = _parse(bytes(data[10:start]))
    if fortran:
        return array.numpy()
    view = np.frombuffer(data[start:], dtype=np.dtype(descr)).reshape(shape)
    view.flags.writeable = False
    return view


def tensor_of(array: Array) -> Tensor:
    """Return a serialised array as a tensor over its bytes: read it, never write to it."""
    return torch.from_numpy(decode(array))


@lru_cache(maxsize=64)
def _name(dtype: Any) -> str:
    return str(dtype)


@lru_cache(maxsize=4096)
def _header(descr: str, shape: tuple[int, ...]) -> bytes:
    file = BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


@lru_cache(maxsize=4096)
def _parse(text: bytes) -> tuple[str, bool, tuple[int, ...]]:
    header = ast.literal_eval(text.decode("latin1"))
    return header["descr"], header["fortran_order"], header["shape"]


def size_bytes(content: RecordDict) -> int:
    """Return the size of a content's arrays."""
    return sum(len(array.data) for record in records_of(content, ArrayRecord).values() for array in record.values())


def pack(content: RecordDict) -> tuple[Any, ...]:
    """Return a message's content with its arrays as numpy buffers, which Ray moves without copying them."""
    arrays = {
        name: [
            (key, array.dtype, array.shape, array.stype, np.frombuffer(array.data, np.uint8))
            for key, array in record.items()
        ]
        for name, record in records_of(content, ArrayRecord).items()
    }
    rest = {name: record for name, record in content.items() if name not in arrays}
    return list(content), arrays, rest


def unpack(packed: tuple[Any, ...]) -> RecordDict:
    """Return the content that :func:`pack` took apart; its arrays' data are views of shared memory."""
    names, arrays, rest = packed
    content = RecordDict()
    for name in names:
        content[name] = _record(arrays[name]) if name in arrays else rest[name]
    return content


def pack_reply(reply: Message) -> tuple[Any, ...]:
    """Return a reply's metadata, packed content (None for an error) and error (None for a content)."""
    if reply.has_error():
        return reply.metadata, None, reply.error
    return reply.metadata, pack(reply.content), None


def _record(entries: list[tuple[Any, ...]]) -> ArrayRecord:
    return make_array_record(
        {key: make_array(dtype, shape, stype, buffer.data) for key, dtype, shape, stype, buffer in entries}
    )
