"""The figures of gradients and weights, from a run's values of layers and the models that it has kept."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from fedlayers.figures.training.rows import rows_of
from fedlayers.runs.reading.tables import Tables
from metrics.training_dynamics.gradients import figures
from metrics.training_dynamics.gradients.epoch_statistics import LayerEpoch, Running
from metrics.training_dynamics.gradients.weight_histograms import BINS, WeightHistogram

_BETWEEN = "lowest to highest client"


def dynamics_figures(tables: Tables) -> dict[str, Callable[[], Any]]:
    """Return file name -> figure: gradient flow, gradient over depth, size of updates, weights over time, their norms.

    Values of layers are means over the clients that trained in a round; bands go from the lowest to the highest client.
    """
    norms = _of_layers(tables, ("step_gradient_norm", "gradient_norm"))
    rms = _of_layers(tables, ("step_gradient_rms", "gradient_norm"))
    ratios = _of_layers(tables, ("update_ratio",))
    sizes = _of_layers(tables, ("step_weight_norm", "norm"))
    found: dict[str, Callable[[], Any]] = {}
    if norms:
        history = _history(norms, rms, ratios)
        found["gradient_flow"] = partial(figures.gradient_flow, history, _BETWEEN)
        found["gradient_correlation"] = partial(figures.gradient_by_depth, history)
    if ratios:
        found["update_ratio"] = partial(figures.update_ratios, _history(ratios, rms, ratios))
    if sizes:
        found["weight_norm_changes"] = partial(figures.weight_norms, _sized(sizes))
    if weights := weight_histograms(tables):
        found["weight_distribution"] = partial(figures.weight_distributions, weights)
    return found


# Round -> layer -> the values of its clients.
Values = Mapping[int, Mapping[str, np.ndarray]]


def _of_layers(tables: Tables, metrics: tuple[str, ...]) -> Values:
    """Return the values of the first of some quantities that the run has, layers in the model's order."""
    for metric in metrics:
        rows = rows_of(tables.records, metric)
        rows = rows[rows["layer"].notna() & np.isfinite(rows["value"].to_numpy(float)) & _after_training(rows)]
        if not len(rows):
            continue
        found: dict[int, dict[str, np.ndarray]] = {}
        for (number, _, layer), own in rows.groupby(["round", "layer_index", rows["layer"].astype(str)]):
            found.setdefault(int(number), {})[str(layer)] = own["value"].to_numpy(float)
        return found
    return {}


def _after_training(rows: pd.DataFrame) -> "pd.Series[bool]":
    moments = rows["moment"].astype(str)
    return moments == ("after_local" if (moments == "after_local").any() else moments.iloc[-1] if len(rows) else "")


def _history(norms: Values, rms: Values, ratios: Values) -> dict[int, dict[str, LayerEpoch]]:
    return {
        number: {
            layer: LayerEpoch(
                _running(values), _running(rms.get(number, {}).get(layer)), _running(ratios.get(number, {}).get(layer))
            )
            for layer, values in layers.items()
        }
        for number, layers in norms.items()
    }


def _running(values: np.ndarray | None) -> Running:
    found = Running()
    if values is not None:
        found.add(values.tolist())
    return found


def _sized(sizes: Values) -> dict[int, dict[str, WeightHistogram]]:
    nothing = np.zeros(0)
    return {
        number: {layer: WeightHistogram(nothing, nothing, float(values.mean()), 0) for layer, values in layers.items()}
        for number, layers in sizes.items()
    }


def weight_histograms(tables: Tables) -> dict[int, dict[str, WeightHistogram]]:
    """Return round -> layer -> its weights, of all clients that trained then together; round 0 is before training."""
    rows = rows_of(tables.spectra, "weight_histogram")
    rows = rows.assign(at=rows["round"].where(rows["step"].isna(), 0)).sort_values(["at", "layer_index"])
    groups: Any = rows.groupby(["at", rows["layer"].astype(str)], sort=False)
    found: dict[int, dict[str, WeightHistogram]] = {}
    for (number, layer), own in groups:
        found.setdefault(int(number), {})[layer] = _together([np.asarray(x) for x in own["x"]], [*own["y"]])
    return found


def _together(middles: Sequence[np.ndarray], counts: Sequence[np.ndarray]) -> WeightHistogram:
    """Return one histogram of several: the middle of a bin says where its weights are."""
    half = [(x[1] - x[0]) / 2 for x in middles]
    low = min(float(x[0] - own) for x, own in zip(middles, half, strict=True))
    high = max(float(x[-1] + own) for x, own in zip(middles, half, strict=True))
    edges = np.linspace(low, high, BINS + 1)
    total, _ = np.histogram(np.concatenate(middles), edges, weights=np.concatenate(counts))
    return WeightHistogram(edges, total, math.nan, 0)
