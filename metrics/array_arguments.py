"""NumPy arrays and tensors alike, at the border of functions on arrays."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray | Tensor
P = ParamSpec("P")
R = TypeVar("R")


def as_tensor(value: Any, name: str) -> Tensor:
    """Return a NumPy array as a tensor of its type, and a tensor as it is.

    Args:
        value: real numbers or truth values, of any shape.
        name: of the argument, for the message.

    Raises:
        TypeError: it is neither, or holds something else.
    """
    if isinstance(value, Tensor):
        return value.detach()
    if not isinstance(value, np.ndarray):
        raise TypeError(
            f"{name} must be a NumPy array or a tensor, got {type(value).__name__}; np.asarray makes an array of it"
        )
    if value.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got an array of {value.dtype}")
    native = np.ascontiguousarray(value, value.dtype.newbyteorder("="))
    if native.dtype.kind == "u" and native.dtype.itemsize > 1:
        native = native.astype(np.int64)
    return torch.from_numpy(native if native.dtype != np.longdouble else native.astype(np.float64))


def takes_arrays(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function of tensors take NumPy arrays as well, and refuse others in a sentence.

    Converted are arguments that are annotated as a ``Tensor``, and the items of those annotated as a ``Sequence`` or a
    ``Mapping`` of tensors.
    """
    signature = inspect.signature(function)
    kinds = {name: _kind(parameter.annotation) for name, parameter in signature.parameters.items()}

    @functools.wraps(function)
    def taking(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            if kinds[name] is not None:
                bound.arguments[name] = _converted(value, name, kinds[name])
        return function(*bound.args, **bound.kwargs)

    return taking


def _kind(annotation: Any) -> str | None:
    """Return what is annotated, if it is made of tensors."""
    if annotation is Tensor:
        return "one"
    kinds: dict[Any, str] = {Sequence: "several", Mapping: "named"}
    of_tensors = getattr(annotation, "__args__", (None,))[-1] is Tensor
    return kinds.get(getattr(annotation, "__origin__", None)) if of_tensors else None


def _converted(value: Any, name: str, kind: str | None) -> Any:
    if kind == "one":
        return as_tensor(value, name)
    if kind == "named":
        return {key: as_tensor(item, f"{name}[{key!r}]") for key, item in value.items()}
    if not isinstance(value, Sequence):
        raise TypeError(f"{name} must be a list of NumPy arrays or tensors, got {type(value).__name__}")
    return [as_tensor(item, f"{name}[{place}]") for place, item in enumerate(value)]
