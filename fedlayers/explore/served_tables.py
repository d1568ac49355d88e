"""A run's or several runs' tables as charts read them, from what the service holds in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from fedlayers.core.records import SCHEMAS
from fedlayers.explore.slices import Indexed, TablesInMemory
from fedlayers.runs.reading.selection import Selection, Value
from fedlayers.runs.reading.tables import Tables

# What charts look at most, held in memory once a large table has been read.
_HELD = (
    "run", "round", "moment", "owner", "model", "client", "layer", "layer_index", "subject", "step", "metric",
    "variant", "value", "stderr", "n", "scope", "status",
)  # fmt: skip


@dataclass(frozen=True)
class ServedTables(Tables):
    """Tables whose slices come from memory: milliseconds where reading the files of a large run takes seconds.

    Attributes:
        memory: where they come from.
    """

    memory: TablesInMemory = field(default_factory=TablesInMemory)

    def arrow(self, table: str) -> pa.Table:
        """Return the rows and columns of a table that are selected."""
        # What nothing was measured of is no mistake of whoever draws it: there are no rows.
        found = self._rows(table, self.selection)
        return found.select(self.selection.shown(found.column_names))

    def some(self, table: str, columns: Sequence[str] = (), **filters: Sequence[Value]) -> pd.DataFrame:
        """Return some rows and columns of a table; only they are looked at."""
        own, asked = self.selection.values, {name: tuple(values) for name, values in filters.items()}
        both = {name: tuple(one for one in values if one in own.get(name, values)) for name, values in asked.items()}
        return replace(self, selection=Selection({**own, **both}, tuple(columns)))._table(table)

    def columns(self, table: str, names: Sequence[str]) -> pa.Table:
        """Return some columns of a table as Arrow has them; no frame of all rows is made."""
        return self.arrow(table).select(list(names))

    def _load(self, run: Path, name: str, selection: Selection) -> pa.Table:
        schema = SCHEMAS[name]
        names = selection.read(schema.names)
        if selection.lacks(schema):
            return schema.empty_table().select(names)

        early = self.memory.from_files(run, name, Selection(selection.values, tuple(names)), _HELD)
        if early is not None:
            return early

        def chosen(held: Indexed) -> pa.Table:
            if not selection.values:
                return held.all(names)
            there = {column: held.values(column) for column in selection.values if column in held.choosable}
            asked = {
                column: [one for one in selection.values[column] if one in known] for column, known in there.items()
            }
            if not all(asked.values()):
                return schema.empty_table().select(names)
            return held.take(held.rows(asked), names)

        return self.memory.asked(run, name, chosen)
