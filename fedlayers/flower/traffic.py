"""How many bytes of numbers a message brings and its reply takes, by layer."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedlayers.core.layers import Layer
from fedlayers.core.records import Resource
from fedlayers.core.weights import sizes_in_safetensors
from fedlayers.flower.adapter import records_of
from fedlayers.flower.contents import ARRAYS, BUFFERS, CONFIG, EXTRA, USAGE

# What is sent is laid out as in other rounds and by other clients, unless plans change: layout -> layers, rows.
_MOST_SEEN = 64
_seen: dict[object, tuple[Sequence[Layer], tuple[Resource, ...]]] = {}


def traffic_rows(content: RecordDict, reply: RecordDict, layers: Sequence[Layer]) -> list[Resource]:
    """Return the bytes that a client received and sent: numbers of arrays, without what Flower wraps them in.

    Of the model a row a layer, buffers included, 0 for a layer that stays where it is; of every other record of arrays
    a row with its name as ``subject``; and without layer and subject all of it. What metrics add to the reply, but for
    the times that they took, is ``bytes_measured``: it would not travel where nothing is measured.

    Args:
        content: what came.
        reply: what goes back.
        layers: the model's layers.
    """
    rows = [
        *_rows("bytes_received", content, _buffers(content, CONFIG), layers),
        *_rows("bytes_sent", reply, _buffers(reply, EXTRA), layers),
    ]
    extra = records_of(reply, ConfigRecord).get(EXTRA, ConfigRecord())
    measured = sum(
        len(data) for name, data in extra.items() if isinstance(data, bytes) and name not in (BUFFERS, USAGE)
    )
    return [*rows, Resource("bytes_measured", float(measured), "bytes")]


def _rows(metric: str, content: RecordDict, buffers: Mapping[str, int], layers: Sequence[Layer]) -> Sequence[Resource]:
    """Return the rows of one way; a layout of arrays that was seen before gives the same ones again."""
    records = tuple((name, _layout(record)) for name, record in records_of(content, ArrayRecord).items())
    layout = metric, records, tuple(buffers.items())
    seen = _seen.get(layout)
    if seen is None or seen[0] is not layers:
        if len(_seen) >= _MOST_SEEN:
            _seen.clear()
        sizes = {name: {key: math.prod(shape) * _bytes_of_one(kind) for key, shape, kind in of} for name, of in records}
        seen = _seen[layout] = layers, tuple(_rows_of(metric, sizes, buffers, layers))
    return seen[1]


def _rows_of(
    metric: str, records: dict[str, dict[str, int]], buffers: Mapping[str, int], layers: Sequence[Layer]
) -> Iterator[Resource]:
    model = {**records.pop(ARRAYS, {}), **buffers}
    for layer in layers:
        size = sum(model.get(name, 0) for name in (*layer.names, *layer.buffers))
        yield Resource(metric, float(size), "bytes", layer=layer.name, layer_index=layer.index)
    for name, sizes in records.items():
        yield Resource(metric, float(sum(sizes.values())), "bytes", subject=name)
    whole = sum(sum(sizes.values()) for sizes in (model, *records.values()))
    yield Resource(metric, float(whole), "bytes")


def _layout(arrays: Mapping[str, Array]) -> tuple[tuple[str, tuple[int, ...], str], ...]:
    return tuple((name, tuple(array.shape), array.dtype) for name, array in arrays.items())


@cache
def _bytes_of_one(dtype: str) -> int:
    return np.dtype(dtype).itemsize


def _buffers(content: RecordDict, record: str) -> dict[str, int]:
    packed = records_of(content, ConfigRecord).get(record, ConfigRecord()).get(BUFFERS)
    return sizes_in_safetensors(packed) if isinstance(packed, bytes) else {}
