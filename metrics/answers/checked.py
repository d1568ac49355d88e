"""What a metric may do and answer: it leaves the weights as they are, and returns rows of what its facts state."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlayers.core.records import Record, Resource, Row, Spectrum
from metrics.base import Measurement, Metric

_NUMBERS = ("value", "stderr", "chance", "chance_hi", "p")
_numbers_of = attrgetter(*_NUMBERS)
_PLAIN = frozenset((float, int, type(None)))


def checked(measurement: Any, metric: Metric, half: str) -> Measurement:
    """Return what a half of a metric answered, its numbers as plain ones.

    Args:
        measurement: the answer.
        metric: whose.
        half: the method that answered, for messages.

    Raises:
        TypeError: it is no :class:`Measurement` of rows with numbers.
        ValueError: a row is of a quantity that the metric's facts do not state.
    """
    name = f"{type(metric).__name__}.{half}"
    if not isinstance(measurement, Measurement):
        raise TypeError(f"{name} must return a Measurement, got {type(measurement).__name__}")
    stated = {facts.name for facts in metric.facts}
    return replace(measurement, rows=[_checked(row, name, stated) for row in measurement.rows])


def _checked(row: Any, name: str, stated: set[str]) -> Row:
    if isinstance(row, Resource):
        return row
    if not isinstance(row, Record | Spectrum):
        raise TypeError(f"{name} must return rows of measured(...), got {type(row).__name__} among them")
    if row.metric not in stated:
        known = ", ".join(sorted(stated)) or "none"
        raise ValueError(f"{name} must return what its facts state ({known}), got {row.metric!r}")
    if isinstance(row, Spectrum):
        return row
    if _PLAIN.issuperset(map(type, _numbers_of(row))):
        return row
    odd: dict[str, Any] = {key: value for key in _NUMBERS if type(value := getattr(row, key)) not in _PLAIN}
    plain: dict[str, Any] = {key: _number(value, key, name) for key, value in odd.items()}
    return replace(row, **plain)


def _number(value: Any, key: str, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Tensor | np.ndarray | np.generic | float | int):
        raise TypeError(f"{name} must return rows whose {key} is a number, got {value!r}")
    if isinstance(value, Tensor | np.ndarray) and value.shape != ():
        raise TypeError(f"{name} must return rows whose {key} is one number, got shape {tuple(value.shape)}")
    return float(value)


@contextmanager
def weights_kept(weights: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> Iterator[None]:
    """Put weights back that a block of code has changed, since training goes on with them.

    Args:
        weights: name -> what must stay as it is.
        kept: name -> copies of it.

    Raises:
        ValueError: some were changed.

    Examples:
        >>> import torch
        >>> weights = {"fc": torch.ones(2)}
        >>> kept = {"fc": torch.ones(2)}
        >>> with weights_kept(weights, kept):
        ...     print(float(weights["fc"].sum()))
        2.0
    """
    try:
        yield
    finally:
        changed = put_back(weights, kept)
    refuse_changed(changed)


def put_back(weights: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> list[str]:
    """Make weights again what they were, and return the names of those that were not.

    Examples:
        >>> weights = {"fc": torch.zeros(2), "out": torch.ones(1)}
        >>> put_back(weights, {"fc": torch.ones(2), "out": torch.ones(1)}), weights["fc"].tolist()
        (['fc'], [1.0, 1.0])
    """
    changed = [name for name, tensor in weights.items() if not _same_bits(tensor, kept[name])]
    with torch.no_grad():
        for name in changed:
            weights[name].data.copy_(kept[name])
    return changed


def refuse_changed(names: Sequence[str]) -> None:
    """Raise ValueError if any weights were changed."""
    if names:
        raise ValueError(
            f"it must leave the weights as they are, but changed {', '.join(names[:5])}; they are put back"
        )


def _same_bits(one: Tensor, other: Tensor) -> bool:
    """Say whether two tensors of one kind hold the same bits: weights that are not finite equal themselves."""
    flat = [tensor.detach().contiguous().reshape(-1) for tensor in (one, other)]
    # Eight bytes at once take a twelfth of the time.
    whole = all(t.nbytes % 8 == 0 and t.storage_offset() * t.element_size() % 8 == 0 for t in flat)
    first, second = (tensor.view(torch.int64 if whole else torch.uint8) for tensor in flat)
    return torch.equal(first, second)
