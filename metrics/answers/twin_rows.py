"""Rows of one value that two metrics measure: it stands once in the tables."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from fedlayers.core.records import Record, Row

# What a row says of its value; the other columns say what the value is of.
_SAID = {"value", "stderr", "n", "chance", "chance_hi", "p", "status", "reason"}
# Two ways to compute a value may differ by rounding.
_RELATIVE, _ABSOLUTE = 1e-4, 1e-6


def without_twins(found: Sequence[Sequence[Row]]) -> list[Row]:
    """Return all rows, of twins the one that says most: a value before none, then one with a standard error or chance.

    Twins are rows of two metrics (:attr:`metrics.base.Metric.common`) whose columns say that they are of one thing,
    and whose values are equal up to rounding, or missing in one of them. Where values differ both rows stay.

    Args:
        found: the rows of every metric; of twins that say as much the first one stays.
    """
    counts = Counter(name for rows in found for name in {row.metric for row in rows if isinstance(row, Record)})
    common = {name for name, metrics in counts.items() if metrics > 1}
    of_common = [[row for row in rows if isinstance(row, Record) and row.metric in common] for rows in found]
    dropped: set[int] = set()
    best: dict[tuple[Any, ...], Record] = {}
    for rows in of_common:
        mine = {_address(row): row for row in rows}
        for address, row in mine.items():
            other = best.setdefault(address, row)
            if other is not row and _is_twin(row, other):
                less, best[address] = (other, row) if _says(row) > _says(other) else (row, other)
                dropped.add(id(less))
    return [row for rows in found for row in rows if id(row) not in dropped]


def _address(row: Record) -> tuple[Any, ...]:
    return (type(row), *(getattr(row, field.name) for field in fields(row) if field.name not in _SAID))


def _is_twin(row: Record, other: Record) -> bool:
    if "missing" in (row.status, other.status):
        return True
    return math.isclose(row.value, other.value, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)


def _says(row: Record) -> tuple[bool, bool]:
    return row.status == "ok", row.stderr is not None or row.chance is not None
