"""Runs side by side: those that differ in nothing but their seed are one line with an interval."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.core.errors import UserError
from fedlayers.runs.quantities import quantities_of
from fedlayers.statistics.over_runs import band_over_runs, mean_over_runs
from fedlayers.views.curves import evaluations
from fedlayers.views.numbered import names_in, parts_of
from fedlayers.views.quantities import axis_label
from fedlayers.views.run_groups import Group, settings_of

_SHOWN = ["metric", "evaluation", "group", "round", "value", "low", "high", "runs"]


def group_curves(records: pd.DataFrame, runs: Sequence[Path]) -> Charted:
    """Return accuracy and loss over the rounds for each group of runs: mean over clients, then over runs.

    Args:
        records: of the runs.
        runs: their folders.

    Returns:
        Columns ``metric, evaluation`` (who was evaluated when), ``group, round, value, low, high`` (the 95 % interval
        over runs, NaN of a single one) and ``runs``, how many are behind the mean; facts ``metrics`` (``name, label,
        limits``), ``evaluations``, ``groups`` (``name, runs``), ``band``.

    Raises:
        UserError: none of the runs has been evaluated.
    """
    groups = groups_of(runs)
    rows = evaluations(records, groups)
    rows = rows[(rows["evaluation"] >= 0) & (rows["group"] >= 0)]
    if rows.empty:
        raise UserError("none of these runs has accuracy or loss over its rounds: metrics=[evaluation] measures them")
    quantities = quantities_of(runs)
    frames = [
        _values(of_group, {"metric": metric, "evaluation": evaluation, "group": group}, quantities[metric].limits)
        for metric, of_metric in parts_of(rows, "panel")
        for evaluation, of_kind in parts_of(of_metric, "evaluation")
        for group, of_group in parts_of(of_kind, "group")
    ]
    found = pd.concat(frames, ignore_index=True)[_SHOWN]
    metrics = [
        {"name": name, "label": axis_label(quantities[name]), "limits": quantities[name].limits}
        for name in names_in(rows, "panel").values()
    ]
    kinds = [name.replace("\n", ", ") for name in names_in(rows, "evaluation").values()]
    band = band_over_runs() if bool(np.isfinite(found["low"]).any()) else ""
    said: list[dict[str, Any]] = [{"name": group.name, "runs": list(group.runs)} for group in groups]
    return Charted.of(found, {"metrics": metrics, "evaluations": kinds, "groups": said, "band": band})


def groups_of(runs: Sequence[Path]) -> list[Group]:
    """Return the groups of runs that differ in nothing but their seed, named by what tells them from one another."""
    return [
        Group(" · ".join(filter(None, (setting.name, group.name))), group.runs)
        for setting in settings_of(runs)
        for group in setting.groups
    ]


def _values(rows: pd.DataFrame, where: dict[str, str], limits: tuple[float, float]) -> pd.DataFrame:
    means = mean_over_runs(rows, "round", limits)
    where = where | {"evaluation": where["evaluation"].replace("\n", ", ")}
    columns = {"round": means.x, "value": means.mean, "low": means.low, "high": means.high, "runs": means.runs}
    return pd.DataFrame(where | columns)
