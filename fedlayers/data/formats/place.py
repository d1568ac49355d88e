"""How error messages name an example of a column: by its number in its split."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ColumnPlace:
    """A column that goes through one or more splits, one after the other.

    Attributes:
        column: its name.
        splits: name and number of examples of each split; empty where examples are simply counted.
    """

    column: str
    splits: Sequence[tuple[str, int]] = ()

    def example(self, number: int) -> str:
        """Return what an example is called; ``number`` counts through all splits, from 0."""
        for split, size in self.splits:
            if number < size:
                return f"example {number} of column {self.column} in split {split}"
            number -= size
        return f"example {number} of column {self.column}"
