"""Learning curves of a study: algorithms side by side, averaged over runs."""

import pandas as pd
from matplotlib.figure import Figure

from fedlayers.figures.clients.learning import CURVES, curve_rows
from fedlayers.figures.drawing.axes import whole_rounds
from fedlayers.figures.drawing.style import headline, legend_below, new_figure
from fedlayers.figures.studies.group_lines import draw_groups, runs_band
from fedlayers.views.quantities import axis_label
from fedlayers.views.run_groups import Setting

# Moment -> what is evaluated then; a run's start begins the line after aggregation.
_CLIENTS = {
    "after_local": "clients' {split}\nafter local training",
    "after_aggregate": "clients' {split}\nafter aggregation",
}
_SERVER = "server's test set\nglobal model"


def study_curves(records: pd.DataFrame, setting: Setting) -> Figure | None:
    """Return accuracy and loss over rounds, a line per group of runs: mean over clients, then over runs.

    A row per kind of evaluation: clients after local training, clients after aggregation (clients that have a model
    of their own: with that), the global model on the server's test set.

    Args:
        records: of the setting's runs.
        setting: what to compare.
    """
    rows = curve_rows(records)
    kinds = _kinds(rows)
    if not kinds:
        return None
    shown = [metric for metric in CURVES if (rows["metric"] == metric).any()]
    figure = new_figure(0.9 + 3.5 * len(shown), 1.6 + 2.1 * len(kinds))
    grid = figure.subplots(len(kinds), len(shown), sharex=True, squeeze=False)
    interval = False
    for line, (name, of_kind) in zip(grid, kinds, strict=True):
        for axes, metric in zip(line, shown, strict=True):
            interval |= draw_groups(
                axes, of_kind[of_kind["metric"] == metric], setting.groups, setting.quantities[metric], "round"
            )
            axes.set_ylabel(axis_label(setting.quantities[metric]) + (f"\n{name}" if axes is line[0] else ""))
            whole_rounds(axes)
            if metric == "accuracy":
                axes.set_ylim(top=min(axes.get_ylim()[1], 1.0))
    for axes in grid[-1]:
        axes.set_xlabel("round")
    legend_below(figure, runs_band() if interval else "")
    headline(figure, setting.facts, "mean over runs" if interval else "")
    return figure


def _kinds(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return a name and the rows of each kind of evaluation that has some."""
    split = "test" if (rows["scope"] == "client_test").any() else "validation"
    clients, server = rows[rows["scope"] != "server_test"], rows[rows["scope"] == "server_test"]
    found = [(name.format(split=split), _own_model(clients[_at(clients, moment)])) for moment, name in _CLIENTS.items()]
    found.append((_SERVER, server[_at(server, "after_aggregate")]))
    return [(name, of_kind) for name, of_kind in found if (of_kind["moment"] != "start").any()]


def _at(rows: pd.DataFrame, moment: str) -> "pd.Series[bool]":
    return rows["moment"].isin([moment, "start"] if moment == "after_aggregate" else [moment])


def _own_model(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of personal models in runs that have both kinds at one moment: what a client would use."""
    both = rows.groupby(["run", "moment"], observed=True)["model"].nunique()
    runs = both[both > 1].reset_index()["run"].unique()
    return rows[~rows["run"].isin(runs) | (rows["model"] == "personal") | (rows["moment"] == "start")]
