"""The table that partitioners divide: a part of it is a set of row numbers until somebody asks for more."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from datasets import Dataset


class Table(Dataset):  # type: ignore[misc]  # the library has no types
    """A data set of the library whose parts cost microseconds; its own way of selecting rows takes milliseconds each.

    Attributes:
        positions: the column ``position``, shape (n,).
    """

    positions: np.ndarray

    def select(self, indices: Iterable[int], *_: Any, **__: Any) -> "Table":
        """Return some of the rows; the other arguments say where the library keeps row numbers, which are kept here."""
        return _Part(self, np.asarray(indices if hasattr(indices, "__len__") else list(indices), np.int64))


class _Part(Table):
    """Some rows of a table; what the library's methods work with is made when one of them first asks for it."""

    def __init__(self, whole: Table, chosen: np.ndarray) -> None:
        self.whole, self.chosen = whole, chosen
        self.positions = whole.positions[chosen]

    @property
    def is_untouched(self) -> bool:
        """Whether it is nothing but row numbers yet."""
        return "_fingerprint" not in self.__dict__

    def __getattr__(self, name: str) -> Any:
        """Become what the library would have made, once one of its attributes is asked for."""
        if name.startswith("__") or "positions" not in self.__dict__ or not self.is_untouched:
            raise AttributeError(name)
        made = Dataset.select(self.whole, self.chosen)
        self.__dict__.update(made.__dict__)
        return getattr(self, name)

    def __del__(self) -> None:
        """Do nothing: the library's own way would ask for its attributes."""


def table_of(columns: Mapping[str, np.ndarray]) -> Table:
    """Return the table of some columns, one of them called ``position``."""
    # In Arrow's format a whole column is one array; in the others np.array(column) goes through it row by row.
    table: Table = Table.from_dict(dict(columns)).with_format("arrow")
    table.positions = columns["position"]
    return table


def positions_in(part: Dataset) -> np.ndarray | None:
    """Return the column ``position`` of what a partitioner hands out, None if it has none."""
    if isinstance(part, _Part) and part.is_untouched:
        return part.positions
    return part[:]["position"].to_numpy() if "position" in part.column_names else None
