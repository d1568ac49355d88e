"""Runs of one kind: their tables have rows of the same sorts, so that what is shown of all can be computed at once."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from fedlayers.core.quantities import Quantities

# What decides which lines there are, on which axes, under which names.
_SORTS = ["metric", "layer", "layer_index", "subject", "moment", "model", "scope", "variant", "status"]


def kind_of(records: pd.DataFrame, facts: Mapping[str, Any], quantities: Quantities) -> str:
    """Return what is the same in runs of one kind and differs in others: the sorts of rows, the layers, the units.

    Args:
        records: of one run.
        facts: of the run.
        quantities: what it states of what it measured.
    """
    sorts = records[_SORTS].assign(
        server=records["client"].isna(), ends=records["step"].isna(), finite=np.isfinite(records["value"])
    )
    lines = sorted(map(str, sorts.drop_duplicates().itertuples(index=False, name=None)))
    return json.dumps([facts.get("layers"), str(quantities), lines])


def stacked(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of several tables with the same columns one below the other, their categories united."""
    if len(tables) == 1:
        return tables[0]
    columns: dict[str, Any] = {}
    for name, kind in tables[0].dtypes.items():
        own = [table[name] for table in tables]
        texts = isinstance(kind, pd.CategoricalDtype)
        columns[str(name)] = union_categoricals(own) if texts else pd.concat(own, ignore_index=True)
    return pd.DataFrame(columns)
