"""The axis of layers: which place each layer has, and which layers a line passes over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fedlayers.core.errors import UserError
from fedlayers.views.values import with_value


@dataclass(frozen=True)
class LayerAxis:
    """The layers of a figure.

    Attributes:
        names: the layers' names, in the order of the model.
        norm: the places of normalisation layers.
    """

    names: Sequence[str]
    norm: frozenset[int]

    @classmethod
    def of(cls, rows: pd.DataFrame) -> "LayerAxis":
        """Return the axis of rows that have their places; see :func:`placed`."""
        places, first = np.unique(rows["place"].to_numpy(int), return_index=True)
        norm = places[rows["norm"].to_numpy(bool)[first]]
        return cls([str(name) for name in rows["layer"].iloc[first]], frozenset(norm.tolist()))

    def lined(self, rows: pd.DataFrame) -> np.ndarray:
        """Return the places, ascending, at which a line of these rows has a gap if there is no value.

        Lines pass over normalisation layers at which none of the rows has a value: what is about weights leaves
        these layers out by definition.
        """
        with_values = set(rows["place"].to_numpy()[with_value(rows)])
        return np.array([at for at in range(len(self.names)) if at not in self.norm or at in with_values], int)


def placed(rows: pd.DataFrame, facts: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows with the place of their layer, 0, 1, …, as ``place`` and whether it normalises as ``norm``.

    Args:
        rows: rows of single layers, of any table.
        facts: run facts, of which ``layers`` says what kind each layer is.
    """
    norm = [layer.get("index") for layer in facts.get("layers") or () if layer.get("kind") == "norm"]
    index = rows["layer_index"].to_numpy(int)
    known, place = np.unique(index, return_inverse=True)
    return rows.assign(place=place, norm=np.isin(known, norm)[place])


def in_layers(rows: pd.DataFrame, layers: Sequence[str]) -> pd.DataFrame:
    """Return the rows of these layers, and those of no layer; all rows if there are no names.

    Raises:
        UserError: one of them is no layer of the rows.
    """
    if not layers:
        return rows
    known = rows.drop_duplicates("layer_index").sort_values("layer_index")["layer"].dropna().astype(str).tolist()
    for name in layers:
        if known and name not in known:
            raise UserError(f"layers must be some of {', '.join(known)}, got {name}")
    found: pd.DataFrame = rows[rows["layer"].isna() | rows["layer"].isin(list(layers))]
    if "other_layer" in found:
        found = found[found["other_layer"].isna() | found["other_layer"].isin(list(layers))]
    return found
