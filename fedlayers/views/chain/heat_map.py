"""A metric at each layer (columns) of each run, or in each round of one run (rows)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fedlayers.views.chain.readings import layer_names


@dataclass(frozen=True)
class LayerTable:
    """Values by layer.

    Attributes:
        values: mean over clients, NaN where there is none, shape (rows, layers).
        rows: what each row is.
        layers: the names of the columns, in the order of the model.
    """

    values: np.ndarray
    rows: tuple[str, ...]
    layers: tuple[str, ...]


def by_round(rows: pd.DataFrame) -> LayerTable:
    """Return the rounds of one run by layer.

    Args:
        rows: of one metric and run, of :func:`fedlayers.views.chain.layer_values.layer_values`.
    """
    return _table(rows, rows["round"].map("round {}".format), rows["round"])


def by_run(rows: pd.DataFrame) -> LayerTable:
    """Return runs by layer, group by group.

    Args:
        rows: of one metric, of :func:`fedlayers.views.chain.layer_values.last_layer_values`.
    """
    names = rows["group_name"] + ", seed " + rows["seed"].astype(str)
    return _table(rows, names, rows["group"] * 1_000_000 + rows["run"].rank(method="dense"))


def _table(rows: pd.DataFrame, names: "pd.Series[str]", order: "pd.Series[float]") -> LayerTable:
    means = rows.assign(row=order).groupby(["row", "place"])["value"].mean().unstack()
    told = pd.Series(names.to_numpy(), order.to_numpy()).groupby(level=0).first()
    layers = layer_names(rows)
    return LayerTable(
        means.reindex(columns=list(layers)).to_numpy(float), tuple(told.reindex(means.index)), tuple(layers.values())
    )
