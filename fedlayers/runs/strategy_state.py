"""What a Flower strategy carries from round to round, as arrays and JSON, so that any strategy can resume."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord
from flwr.serverapp.strategy import Strategy

_PLAIN = (bool, int, float, str, type(None))
# Kinds of keys, and what dictionaries with them are called in a file.
_KEYS: Mapping[type, str] = {str: "dict", int: "dict of integers"}


def dump(strategy: Strategy, prefix: str = "strategy") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return a strategy's attributes as arrays and as JSON values.

    Functions given to the constructor are left out: the configuration makes them again.

    Raises:
        TypeError: an attribute is of a kind that cannot be saved; the message names it.
    """
    arrays: dict[str, np.ndarray] = {}
    scalars = {
        key: _dump(value, f"{prefix}.{key}", arrays) for key, value in vars(strategy).items() if not callable(value)
    }
    return arrays, scalars


def load(strategy: Strategy, arrays: Mapping[str, np.ndarray], scalars: Mapping[str, Any]) -> None:
    """Put back what :func:`dump` returned."""
    for key, value in scalars.items():
        if isinstance(value, dict) and "strategy" in value:
            load(vars(strategy)[key], arrays, value["strategy"])
        else:
            setattr(strategy, key, _load(value, arrays))


def _dump(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return a JSON value; arrays are put aside under their path."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        arrays[path] = np.ascontiguousarray(value).reshape(value.shape)
        return {"array": path}
    if isinstance(value, Strategy):
        # One that is wrapped: the configuration makes it again, too.
        inner, scalars = dump(value, path)
        arrays |= inner
        return {"strategy": scalars}
    if isinstance(value, ArrayRecord):
        return {"record": {key: _dump(array.numpy(), f"{path}.{key}", arrays) for key, array in value.items()}}
    if isinstance(value, dict) and len(kinds := {type(key) for key in value}) < 2 and kinds <= _KEYS.keys():
        # JSON has text for keys only: what it was is in the word.
        kind = _KEYS[kinds.pop()] if kinds else "dict"
        return {kind: {str(key): _dump(item, f"{path}.{key}", arrays) for key, item in value.items()}}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_dump(item, f"{path}.{place}", arrays) for place, item in enumerate(value)]}
    raise TypeError(f"{path} is a {type(value).__name__}")


def _load(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if not isinstance(value, dict):
        return value
    [(kind, content)] = value.items()
    if kind == "array":
        return arrays[content]
    if kind == "record":
        return ArrayRecord({key: Array(_load(item, arrays)) for key, item in content.items()})
    if kind in _KEYS.values():
        return {int(key) if kind == _KEYS[int] else key: _load(item, arrays) for key, item in content.items()}
    items = [_load(item, arrays) for item in content]
    return items if kind == "list" else tuple(items)
