"""The figures of classes and tiers, from a run's scores of classes and its clients' training examples."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from fedlayers.core.records import BEST, MOMENTS
from fedlayers.figures.training.rows import rows_of
from fedlayers.runs.reading.tables import Tables
from metrics.class_performance import figures
from metrics.class_performance.scores import RECALLS, SCORES, ClassResult, tier_results
from metrics.class_performance.tiers import percentile_tiers
from metrics.tracking.drawing import file_name

_CURVE = "class_precision_at_recall"


def class_figures(tables: Tables) -> dict[str, Callable[[], Any]]:
    """Return file name -> figure of each label group: distribution, scores and curves by tier, of the last measurement.

    The scores are the server's on its test set, else means over the clients'. Tiers are thirds of the classes by all
    clients' training examples (percentiles).
    """
    rows = _last(rows_of(tables.records, *(f"class_{score}" for score in SCORES)))
    curves = _last(rows_of(tables.spectra, _CURVE))
    counts = _training_counts(tables)
    found: dict[str, Callable[[], Any]] = {}
    for group, own in rows.groupby(rows["variant"].astype(str)):
        classes = _results(own, curves[curves["variant"].astype(str) == group])
        held = {name: counts[name] for name in classes if name in counts}
        tiers = percentile_tiers(held)
        stem = file_name(str(group))
        shown = f"{group}, {_whose(own)}", classes, tier_results(classes, tiers), tiers
        if held:
            found[f"{stem}_class_distribution"] = partial(figures.class_distribution, str(group), held, tiers)
        found[f"{stem}_scores_by_class_type"] = partial(figures.scores_by_tier, *shown)
        if len(curves):
            found[f"{stem}_pr_curves"] = partial(figures.curves_by_tier, *shown)
    return found


def _last(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the last round and moment, of the server's test set if there are such, else of one scope."""
    rows = rows[rows["status"].astype(str) == "ok"]
    of_server = rows[rows["scope"].astype(str) == "server_test"]
    rows = of_server if len(of_server) else rows
    if not len(rows):
        return rows
    rows = rows[rows["round"] == rows["round"].max()]
    moment = max(rows["moment"].astype(str).unique(), key=(BEST, *MOMENTS).index)
    rows = rows[rows["moment"].astype(str) == moment]
    scopes = rows["scope"].astype(str)
    return rows[scopes == ("client_test" if (scopes == "client_test").any() else scopes.iloc[0])]


def _whose(rows: pd.DataFrame) -> str:
    scope = str(rows["scope"].iloc[0])
    clients = rows["client"].nunique()
    return f"{scope}, mean over {clients} clients" if clients else scope


def _results(rows: pd.DataFrame, curves: pd.DataFrame) -> dict[str, ClassResult]:
    """Return class -> its scores, means over clients where they are theirs."""
    found = {}
    for label, own in rows.groupby(rows["subject"].astype(str), sort=False):
        means = own.groupby(own["metric"].astype(str))["value"].mean()
        support = int(own[own["metric"].astype(str) == own["metric"].astype(str).iloc[0]]["n"].sum())
        ys = [np.asarray(y, float) for y in curves[curves["subject"].astype(str) == label]["y"]]
        curve = np.mean(ys, axis=0) if ys else np.full(len(RECALLS), math.nan)
        scores = {score: float(means.get(f"class_{score}", math.nan)) for score in SCORES}
        found[str(label)] = ClassResult(support, 0, 0, **scores, ap_low=math.nan, ap_high=math.nan, curve=curve)
    return found


def _training_counts(tables: Tables) -> Mapping[str, float]:
    """Return class -> training examples of all clients; empty where the run has no partition, as an own loop's."""
    held = tables.partition
    own = held[held["scope"].astype(str) == "client_train"]
    return {
        str(name): float(count) for name, count in own.groupby(own["label_name"].astype(str))["examples"].sum().items()
    }
