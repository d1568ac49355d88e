"""The figures of attention, from a run's statistics of heads and, where its tables have them, maps."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from fedlayers.core.records import MOMENTS
from fedlayers.figures.training.rows import rows_of
from fedlayers.runs.reading.tables import Tables
from metrics.tracking.drawing import file_name
from metrics.training_dynamics.attention import figures
from metrics.training_dynamics.attention.visualizer import LayerAttention

_QUANTITIES = ("entropy", "span", "distance", "peak")


def attention_figures(tables: Tables) -> dict[str, Callable[[], Any]]:
    """Return file name -> figure: statistics of heads over rounds, and maps of the last round, heads and evolution."""
    found: dict[str, Callable[[], Any]] = {}
    if history := _statistics(tables):
        found["attention_statistics"] = partial(figures.statistics, history)
    for layer, maps in _maps(tables).items():
        last, stem = max(maps), file_name(layer)
        found[f"attention_map_e{last}_{stem}"] = partial(figures.single_map, layer, last, maps[last])
        found[f"attention_heads_e{last}_{stem}"] = partial(figures.heads, layer, last, maps[last])
        found[f"attention_evolution_{stem}"] = partial(figures.evolution, layer, maps)
    rollout = _of_one_model(rows_of(tables.spectra, "attention_rollout"))
    if len(rollout):
        last = int(rollout["round"].max())
        found[f"attention_rollout_e{last}"] = partial(
            figures.rollout_map, last, _matrix(rollout[rollout["round"] == last])
        )
    return found


def _statistics(tables: Tables) -> dict[int, dict[str, LayerAttention]]:
    """Return round -> layer -> each head's means over clients."""
    rows = rows_of(tables.records, *(f"attention_{quantity}" for quantity in _QUANTITIES))
    rows = rows[rows["moment"].astype(str) != "final"]
    found: dict[int, dict[str, LayerAttention]] = {}
    groups: Any = rows.groupby(["round", "layer_index", rows["layer"].astype(str)])
    for (number, _, layer), own in groups:
        table = own.groupby([own["metric"].astype(str), own["subject"].astype(str).map(_place)])["value"].mean()
        one = LayerAttention(captures=1)
        heads = sorted({head for _, head in table.index})
        for quantity in _QUANTITIES:
            values = [table.get((f"attention_{quantity}", head), np.nan) for head in heads]
            one.statistics[quantity] = np.asarray(values, float)
        found.setdefault(int(number), {})[str(layer)] = one
    return found


def _maps(tables: Tables) -> dict[str, dict[int, np.ndarray]]:
    """Return layer -> round -> maps of one model, shape (heads, queries, keys)."""
    rows = _of_one_model(rows_of(tables.spectra, "attention_weights"))
    found: dict[str, dict[int, np.ndarray]] = {}
    groups: Any = rows.groupby([rows["layer"].astype(str), "round"])
    for (layer, number), own in groups:
        heads = own["subject"].astype(str)
        matrices = [_matrix(own[heads == head]) for head in sorted(heads.unique(), key=_place)]
        found.setdefault(str(layer), {})[int(number)] = np.stack(matrices)
    return found


def _of_one_model(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each round's maps of one model at its last moment: the server's, else the first client's."""
    if rows["moment"].isna().all():
        return rows
    rows = rows[rows["moment"].astype(str) != "final"]
    servers = rows[rows["client"].isna()]
    rows = servers if len(servers) else rows[rows["client"] == rows["client"].min()]
    places = rows["moment"].astype(str).map(MOMENTS.index)
    return rows[places == places.groupby(rows["round"]).transform("max")]


def _matrix(rows: pd.DataFrame) -> np.ndarray:
    ordered = rows.assign(place=rows["variant"].astype(str).map(_place)).sort_values("place")
    return np.stack([np.asarray(y, float) for y in ordered["y"]])


def _place(text: str) -> int:
    """Return the number at the end of ``head 3`` or ``query 0012``."""
    return int(text.rpartition(" ")[2])
