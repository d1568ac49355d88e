"""The arrays in nested data: what a payload of any shape is made of."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from torch import Tensor


def nested_arrays(payload: Any) -> Iterator[np.ndarray | Tensor]:
    """Yield the arrays and tensors in nested data classes, mappings, lists and tuples."""
    parts: Iterable[Any] = ()
    if isinstance(payload, np.ndarray | Tensor):
        yield payload
    elif isinstance(payload, Mapping):
        parts = payload.values()
    elif isinstance(payload, list | tuple):
        parts = payload
    elif is_dataclass(payload):
        parts = (getattr(payload, field.name) for field in fields(payload))
    for part in parts:
        yield from nested_arrays(part)
