"""What a view shows of a run of whose tables one cannot be read: the others, and what that one lacks."""

from collections.abc import Sequence

import pandas as pd

from fedlayers.core.errors import UserError
from fedlayers.core.records import SCHEMAS
from fedlayers.runs.reading.tables import Tables


def rows_that_can_be_read(tables: Tables, table: str, columns: Sequence[str], damaged: list[str]) -> pd.DataFrame:
    """Return some columns of a table, without rows where a part of it is missing or damaged.

    Args:
        tables: of a run.
        table: a table beside the records, which a view can do without: ``pairs``, ``spectra`` or ``resources``.
        columns: names of its own columns.
        damaged: what to add the sentence to that says what is wrong with it.
    """
    try:
        return tables.some(table, columns)
    except UserError as error:
        damaged.append(str(error))
        empty: pd.DataFrame = SCHEMAS[table].empty_table().select(list(columns)).to_pandas()
        return empty
