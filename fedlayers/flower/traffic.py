"""How many bytes of numbers a message brings and its reply takes, by layer."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedlayers.core.layers import Layer
from fedlayers.core.records import Resource, Row
from fedlayers.core.weights import from_safetensors_bytes
from fedlayers.flower.adapter import records_of
from fedlayers.flower.contents import ARRAYS, BUFFERS, CONFIG, EXTRA


def traffic_rows(content: RecordDict, reply: RecordDict, layers: Sequence[Layer]) -> list[Row]:
    """Return the bytes that a client received and sent: numbers of arrays, without what Flower wraps them in.

    Of the model a row a layer, buffers included, 0 for a layer that stays where it is; of every other record of arrays
    a row with its name as ``subject``; and without layer and subject all of it. What metrics add to the reply is
    ``bytes_measured``: it would not travel where nothing is measured.

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
    measured = sum(len(data) for name, data in extra.items() if isinstance(data, bytes) and name != BUFFERS)
    return [*rows, Resource("bytes_measured", float(measured), "bytes")]


def _rows(metric: str, content: RecordDict, buffers: Mapping[str, int], layers: Sequence[Layer]) -> Iterator[Row]:
    records = {name: _sizes(record) for name, record in records_of(content, ArrayRecord).items()}
    model = {**records.pop(ARRAYS, {}), **buffers}
    for layer in layers:
        size = sum(model.get(name, 0) for name in (*layer.names, *layer.buffers))
        yield Resource(metric, float(size), "bytes", layer=layer.name, layer_index=layer.index)
    for name, sizes in records.items():
        yield Resource(metric, float(sum(sizes.values())), "bytes", subject=name)
    whole = sum(sum(sizes.values()) for sizes in (model, *records.values()))
    yield Resource(metric, float(whole), "bytes")


def _sizes(arrays: Mapping[str, Array]) -> dict[str, int]:
    return {name: math.prod(array.shape) * _bytes_of_one(array.dtype) for name, array in arrays.items()}


@cache
def _bytes_of_one(dtype: str) -> int:
    return np.dtype(dtype).itemsize


def _buffers(content: RecordDict, record: str) -> dict[str, int]:
    packed = records_of(content, ConfigRecord).get(record, ConfigRecord()).get(BUFFERS)
    tensors = from_safetensors_bytes(packed) if isinstance(packed, bytes) else {}
    return {name: tensor.nbytes for name, tensor in tensors.items()}
