"""Learning curves: accuracy and loss of whole models over the rounds, line by line."""

from collections.abc import Iterator, Sequence

import pandas as pd

from fedlayers.views.moments import MOMENT_NAMES, at_moments
from fedlayers.views.numbered import numbered
from fedlayers.views.run_groups import Group, in_groups
from fedlayers.views.values import usable

CURVES = ("accuracy", "loss")
# Moment -> what is evaluated then.
_OF_CLIENTS = {
    "after_local": "clients' {split}\nafter local training",
    "after_aggregate": "clients' {split}\nafter aggregation",
}
_OF_SERVER = "server's test set\nglobal model"


def curve_rows(records: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy and loss of whole models on the server's and clients' test examples, or else validation."""
    whole = records["metric"].isin(CURVES) & records["layer"].isna() & records["subject"].isna()
    rows = usable(at_moments(records[whole]))
    scope = next((name for name in ("client_test", "client_val") if (rows["scope"] == name).any()), None)
    return rows[rows["scope"].isin([scope, "server_test"])]


def learning_curves(records: pd.DataFrame) -> pd.DataFrame:
    """Return the values of learning curves of one run.

    What is measured before training (round 0) begins the line after aggregation: both are the model that clients
    receive.

    Returns:
        The rows of :func:`curve_rows` that are on a line, by metric (in the order of ``CURVES``) and line, with columns
        ``panel, panel_name`` (the metric), ``line`` (number), ``line_name`` (``clients, after aggregation, personal
        models``; the models only where there are several kinds), ``who`` (``clients`` or ``server``), ``at`` (the
        moment of the line), ``kind`` (of the line's models: ``global``, ``personal``, or empty) and ``kinds`` (how many
        kinds of models clients have at that moment or have been sent before training).
    """
    rows = curve_rows(records)
    lines = [line for metric in CURVES for line in _lines(rows[rows["metric"] == metric])]
    if not lines:
        return _by_metric(numbered(rows[:0], [], "line").assign(who="", at="", kind="", kinds=0))
    found = pd.concat(lines)
    named = numbered(found, [(str(line["name"].iloc[0]), line) for line in lines], "line")
    return _by_metric(named.drop(columns="name"))


def _by_metric(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the number and the name of their metric as ``panel`` and ``panel_name``."""
    shown = [metric for metric in CURVES if (rows["metric"] == metric).any()]
    return numbered(rows, [(metric, rows[rows["metric"] == metric]) for metric in shown], "panel")


def _lines(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the rows of each line of one metric."""
    clients = rows[rows["scope"] != "server_test"]
    for moment in ("after_local", "after_aggregate", "final"):
        then = clients[_at(clients, moment)]
        for kind, line in then.groupby(then["model"].astype(object).fillna(""), sort=True):
            if (line["moment"] == moment).any():
                kinds = then["model"].nunique()
                name = f"clients, {MOMENT_NAMES[moment]}" + (f", {kind} models" if kinds > 1 else "")
                yield line.assign(name=name, who="clients", at=moment, kind=kind, kinds=kinds)
    server = rows[(rows["scope"] == "server_test") & _at(rows, "after_aggregate")]
    if not server.empty:
        name = "server's test set, global model"
        yield server.assign(name=name, who="server", at="after_aggregate", kind="global", kinds=1)


def evaluations(records: pd.DataFrame, groups: Sequence[Group]) -> pd.DataFrame:
    """Return the values of learning curves of several runs, by kind of evaluation.

    The kinds are clients after local training, clients after aggregation (clients that have a model of their own: with
    that), and the global model on the server's test set.

    Args:
        records: of several runs.
        groups: of runs.

    Returns:
        The rows of :func:`curve_rows`, with columns ``panel, panel_name`` (the metric), ``evaluation`` (number, −1 for
        rows of no kind), ``evaluation_name``, and ``group, group_name`` (see
        :func:`fedlayers.views.run_groups.in_groups`).
    """
    rows = curve_rows(records)
    split = "test" if (rows["scope"] == "client_test").any() else "validation"
    clients, server = rows[rows["scope"] != "server_test"], rows[rows["scope"] == "server_test"]
    found = [
        (name.format(split=split), _own_model(clients[_at(clients, moment)])) for moment, name in _OF_CLIENTS.items()
    ]
    found.append((_OF_SERVER, server[_at(server, "after_aggregate")]))
    kinds = [(name, kind) for name, kind in found if (kind["moment"] != "start").any()]
    return _by_metric(in_groups(numbered(rows, kinds, "evaluation"), groups))


def _at(rows: pd.DataFrame, moment: str) -> "pd.Series[bool]":
    return rows["moment"].isin([moment, "start"] if moment == "after_aggregate" else [moment])


def _own_model(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of personal models in runs that have both kinds at one moment: what a client would use."""
    both = rows.groupby(["run", "moment"], observed=True)["model"].nunique()
    runs = both[both > 1].reset_index()["run"].unique()
    return rows[~rows["run"].isin(runs) | (rows["model"] == "personal") | (rows["moment"] == "start")]


def last_scores(records: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of the final evaluation of one run; before there is one of the last round, after aggregation.

    Returns:
        Rows of :func:`curve_rows` with columns ``score`` (number) and ``score_name``, such as
        ``client test accuracy, final``: a row per client, or one of the server.
    """
    rows = curve_rows(records)
    is_final = rows["moment"] == "final"
    # A run that goes on with more rounds has the end of fewer until it has its own.
    if is_final.any() and rows.loc[is_final, "round"].max() == rows["round"].max():
        rows, when = rows[is_final], MOMENT_NAMES["final"]
    else:
        rows = rows[rows["moment"] == "after_aggregate"]
        when = f"round {rows['round'].max()}"
        rows = rows[rows["round"] == rows["round"].max()]
    return numbered(rows, list(_scores(rows, when)), "score")


def _scores(rows: pd.DataFrame, when: str) -> Iterator[tuple[str, pd.DataFrame]]:
    for scope, of_scope in rows.groupby(rows["scope"].astype(str), sort=True):
        models = of_scope["model"].astype(object).fillna("")
        for model, of_model in of_scope.groupby(models, sort=True):
            which = f", {model} models" if models.nunique() > 1 else ""
            for metric, cell in of_model.groupby(of_model["metric"].astype(str), sort=True):
                yield f"{str(scope).replace('_', ' ')} {metric}, {when}{which}", cell
