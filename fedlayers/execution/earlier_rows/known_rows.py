"""What is known of a phase before it begins, because the same was measured earlier."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from fedlayers.flower.replies import Replies

# The tables of what was measured; what the measuring took is not among them.
_TABLES = ("records", "pairs", "spectra")


@dataclass(frozen=True)
class KnownRows:
    """Rows that a phase begins with.

    Attributes:
        metrics: those that the server need not measure.
        tables: table name -> rows.
    """

    metrics: frozenset[str] = frozenset()
    tables: Mapping[str, list[pa.Table]] = field(default_factory=dict)


NOTHING = KnownRows()


def moved(phase: Replies, chosen: pc.Expression, to: Mapping[str, str | None]) -> dict[str, list[pa.Table]]:
    """Return what was measured in a phase, as measured somewhere else.

    Args:
        phase: what came back.
        chosen: which rows.
        to: column -> its value in the rows that are returned.
    """
    found = {name: [piece.filter(chosen) for piece in phase.tables.get(name, [])] for name in _TABLES}
    return {name: [readdressed(piece, to) for piece in pieces if piece.num_rows] for name, pieces in found.items()}


def readdressed(table: pa.Table, to: Mapping[str, str | None]) -> pa.Table:
    """Return rows with other values in some columns of text, or null."""
    for column, value in to.items():
        place = table.schema.get_field_index(column)
        field = table.schema.field(place)
        table = table.set_column(place, field, pa.array([value] * table.num_rows, field.type))
    return table
