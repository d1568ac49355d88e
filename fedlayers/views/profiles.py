"""Layer profiles: a metric's values over the layers, by panel, by round and by who was measured."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from fedlayers.views.moments import MOMENT_NAMES, at_moments, last_steps
from fedlayers.views.numbered import numbered
from fedlayers.views.places import LayerAxis, placed
from fedlayers.views.plans.shared_layers import METRIC
from fedlayers.views.rounds import first_and_last, in_columns
from fedlayers.views.run_groups import Setting, in_groups
from fedlayers.views.values import usable
from fedlayers.views.variants import differ, names_of

# Name and rows of each panel of a metric.
Panels = list[tuple[str, pd.DataFrame]]

_OF_A_PANEL = ["model", "scope", "variant"]
# Subjects that are ranks and not classes: a mean over them says nothing, the first one is the largest.
_RANKED = ("hessian_eigenvalue",)
_MOST_NAMED = 4


def layer_metrics(records: pd.DataFrame) -> list[str]:
    """Return the metrics that have values of single layers, by name; which are shared has a figure of its own."""
    rows = usable(records[records["layer"].notna() & (records["metric"] != METRIC)])
    return sorted(str(name) for name in rows["metric"].unique())


def layer_profile(records: pd.DataFrame, metric: str, facts: Mapping[str, Any]) -> pd.DataFrame:
    """Return a metric's values over the layers in one run, the first and the last round side by side.

    Returns:
        The rows and columns of :func:`every_round`, with ``column, column_name``: see
        :func:`fedlayers.views.rounds.in_columns`.
    """
    return in_columns(every_round(records, metric, facts))


def every_round(records: pd.DataFrame, metric: str, facts: Mapping[str, Any]) -> pd.DataFrame:
    """Return a metric's values over the layers in one run, a panel per model, scope and variant.

    Values are those of all examples at moments, or else at the last step measured inside local training; else those of
    the first rank, else means over subjects.

    Returns:
        The metric's rows of single layers, with columns

        - ``place, norm``: of the layer, see :func:`fedlayers.views.places.placed`;
        - ``panel, panel_name``: −1 in normalisation layers that lines pass over;
        - ``line, who``: a number per moment and who was measured, ``clients`` or ``server``;
        - ``note``: what the values are if not those of all examples at moments, the same in all rows.
    """
    rows, note = layer_rows(records, metric)
    rows = placed(rows, facts)
    shown = rows[rows["place"].isin(LayerAxis.of(rows).lined(rows))]
    return _measured(numbered(rows, _panels(shown), "panel")).assign(note=note)


def study_profile(records: pd.DataFrame, metric: str, setting: Setting) -> pd.DataFrame:
    """Return a metric's values over the layers in several runs, a panel per variant, moment and who was measured.

    Returns:
        The rows and columns of :func:`layer_profile`, only panels that have values, with ``group, group_name``: see
        :func:`fedlayers.views.run_groups.in_groups`.
    """
    rows, note = layer_rows(records, metric)
    rows = in_groups(in_columns(placed(rows, setting.facts)), setting.groups)
    return _measured(numbered(rows, _moment_panels(rows), "panel")).assign(note=note)


def last_profiles(records: pd.DataFrame, metrics: Sequence[str], facts: Mapping[str, Any]) -> pd.DataFrame:
    """Return of each metric in one run the first panel of :func:`layer_profile` in the last round with values.

    Args:
        records: of a run.
        metrics: some of :func:`layer_metrics`.
        facts: run facts.

    Returns:
        Rows with columns ``place, norm, line, who`` as in :func:`layer_profile`; ``panel`` (the metric's number) and
        ``panel_name`` (what is shown of it, empty if that is all there is).
    """
    return _last_profiles(records, metrics, facts, _panels)


def last_study_profiles(records: pd.DataFrame, metrics: Sequence[str], setting: Setting) -> pd.DataFrame:
    """Return of each metric in several runs the first panel of :func:`study_profile` in the last round with values.

    Returns:
        Rows with the columns of :func:`last_profiles`, and ``group, group_name``.
    """
    return in_groups(_last_profiles(records, metrics, setting.facts, _moment_panels), setting.groups)


def missing_in(rows: pd.DataFrame) -> str:
    """Return how many of the rows have no value, empty if all have."""
    absent = len(rows) - len(usable(rows))
    return f"{absent} of {len(rows)} missing" if absent else ""


def _last_profiles(
    records: pd.DataFrame, metrics: Sequence[str], facts: Mapping[str, Any], panels_of: Callable[[pd.DataFrame], Panels]
) -> pd.DataFrame:
    parts = [_last(*layer_rows(records, metric), panels_of) for metric in metrics]
    # Means over subjects have an index of their own, which may repeat that of others.
    keyed = pd.concat([part.assign(panel=number, panel_name=name) for number, (name, part) in enumerate(parts)])
    return _measured(placed(keyed.reset_index(drop=True), facts))


def _last(rows: pd.DataFrame, note: str, panels_of: Callable[[pd.DataFrame], Panels]) -> tuple[str, pd.DataFrame]:
    """Return the name of the first panel with values in the last round that has some, and its rows."""
    rows = rows[rows["round"] == usable(rows)["round"].max()]
    name, rows = next(panel for panel in panels_of(rows) if not usable(panel[1]).empty)
    _, of_column = first_and_last(rows)[-1]
    return name or note, rows[of_column]


def _measured(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with ``line`` and ``who``: lines are numbered by moment, clients before the server."""
    server = rows["client"].isna().to_numpy()
    moment = rows["moment"].astype(object).map({name: number for number, name in enumerate(MOMENT_NAMES)})
    return rows.assign(line=2 * moment + server, who=np.where(server, "server", "clients"))


def layer_rows(records: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, str]:
    """Return a metric's rows of single layers, and what they are if not values of all examples at moments."""
    rows = records[(records["metric"] == metric) & records["layer"].notna()]
    ends = at_moments(rows)
    if rows.empty or not ends.empty:
        return _whole(ends, metric)
    rows, note = _whole(last_steps(rows), metric)
    return rows, ", ".join(part for part in ("at the last step measured", note) if part)


def _whole(rows: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, str]:
    """Return the values of all examples; else those of the first rank, else the mean over subjects."""
    whole = rows[rows["subject"].isna()]
    if not whole.empty:
        return whole, ""
    if metric in _RANKED:
        return rows[rows["subject"] == "1"], "the largest in magnitude"
    subjects = sorted(str(subject) for subject in rows["subject"].unique())
    named = ", ".join(subjects) if len(subjects) <= _MOST_NAMED else f"{len(subjects)} subjects"
    same = ["run", "metric", "round", "moment", "client", "layer", "layer_index", *_OF_A_PANEL, "status"]
    means = rows.groupby(same, dropna=False, observed=True, as_index=False)["value"].mean()
    return means.assign(stderr=np.nan, chance=np.nan, chance_hi=np.nan), f"mean over {named}"


def _panels(rows: pd.DataFrame) -> Panels:
    """Return a name and the rows of each panel: by model, scope and variant, as far as they differ."""
    keys = rows[_OF_A_PANEL].astype(object).fillna("")
    varied = [key for key in _OF_A_PANEL if keys[key].nunique() > 1]
    if "model" in varied and _one_model_a_moment(rows):
        varied.remove("model")  # the moment says which model it is: the lines belong together
    if "variant" in varied and not differ(rows):
        varied.remove("variant")
    if not varied:
        return [(names_of(rows), rows)]
    found = rows.groupby([keys[key] for key in varied], sort=True)
    return [(", ".join(str(part) for part in key if part), of_key) for key, of_key in found]


def _one_model_a_moment(rows: pd.DataFrame) -> bool:
    return bool(rows.groupby(["run", "moment"], dropna=False, observed=True)["model"].nunique().max() == 1)


def _moment_panels(rows: pd.DataFrame) -> Panels:
    """Return a name and the rows of each panel that has values: by variant, by who was measured, and by moment."""
    panels = [
        (", ".join(part for part in (who, MOMENT_NAMES[moment], variant) if part), _of(of_variant, who, moment))
        for variant, of_variant in _panels(rows)
        for who, moment in product(("clients", "server"), MOMENT_NAMES)
    ]
    return [(name, here) for name, here in panels if not usable(here).empty]


def _of(rows: pd.DataFrame, who: str, moment: str) -> pd.DataFrame:
    return rows[(rows["client"].notna() == (who == "clients")) & (rows["moment"] == moment)]
