"""Runs of one kind: their tables have rows of the same sorts, so that what is shown of all can be computed at once."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from fedlayers.core.quantities import Quantities

# What decides which lines and matrices there are, on which axes, under which names.
_SORTS = ["metric", "layer", "layer_index", "subject", "moment", "model", "scope", "variant"]


def kind_of(records: pd.DataFrame, pairs: pd.DataFrame, facts: Mapping[str, Any], quantities: Quantities) -> str:
    """Return what is the same in runs of one kind and differs in others: sorts of rows, last rounds, layers, units.

    Args:
        records: single values of one run.
        pairs: its values between two clients, rounds or layers.
        facts: of the run.
        quantities: what it states of what it measured.
    """
    of_records = records[[*_SORTS, "status"]].assign(
        server=records["client"].isna(), ends=records["step"].isna(), finite=np.isfinite(records["value"])
    )
    of_pairs = pairs[_SORTS].assign(ends=pairs["step"].isna())
    last = records.groupby(["metric", "moment"], observed=True)["round"].max()
    return json.dumps([facts.get("layers"), str(quantities), _told(of_records), _told(of_pairs), str(last.to_dict())])


def _told(sorts: pd.DataFrame) -> list[str]:
    return sorted(map(str, sorts.drop_duplicates().itertuples(index=False, name=None)))


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
