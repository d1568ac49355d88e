"""Values over the rounds, line by line: learning curves (accuracy and loss of whole models), and any metric."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from fedlayers.core.records import BEST
from fedlayers.views.moments import MOMENT_NAMES, at_moments, last_steps
from fedlayers.views.numbered import numbered
from fedlayers.views.run_groups import Group, in_groups
from fedlayers.views.values import usable

# The second of data of which several labels may hold, in place of the first.
CURVES = ("accuracy", "subset_accuracy", "loss")
# Moment -> what is evaluated then.
_OF_CLIENTS = {
    "after_local": "clients' {split}\nafter local training",
    "after_aggregate": "clients' {split}\nafter aggregation",
}
_OF_SERVER = "server's test set\nglobal model"
# What tells lines of any metric apart, where there are several.
_TOLD_APART = ("model", "scope", "variant")


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
        (name.format(split=split), own_models(clients[_at(clients, moment)])) for moment, name in _OF_CLIENTS.items()
    ]
    found.append((_OF_SERVER, server[_at(server, "after_aggregate")]))
    kinds = [(name, kind) for name, kind in found if (kind["moment"] != "start").any()]
    return _by_metric(in_groups(numbered(rows, kinds, "evaluation"), groups))


def _at(rows: pd.DataFrame, moment: str) -> "pd.Series[bool]":
    return rows["moment"].isin([moment, "start"] if moment == "after_aggregate" else [moment])


def own_models(rows: pd.DataFrame) -> pd.DataFrame:
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


def over_rounds(records: pd.DataFrame, metric: str, layer: str | None) -> pd.DataFrame:
    """Return the values of lines over the rounds, without the final evaluation, which has no round of its own.

    Args:
        records: of one run.
        metric: accuracy and loss of whole models have the lines of :func:`learning_curves`; others one for each
            moment and owner, and for each model, scope and variant where there are several. Values measured
            inside local training alone are those of its end.
        layer: whose values; None for those of the whole model.

    Returns:
        Rows with columns ``line`` (number), ``line_name``, ``who`` (``clients`` or ``server``), ``at`` (the moment) and
        ``kind`` (of the models, where there are several).
    """
    rows = records[(records["metric"] == metric) & records["subject"].isna()]
    rows = rows[rows["layer"].isna() if layer is None else rows["layer"] == layer]
    if metric in CURVES and layer is None:
        found = learning_curves(rows)
        return found[(found["at"] != "final") & (found["line"] >= 0)]
    ends = at_moments(rows)
    rows = usable(last_steps(rows) if ends.empty else ends)
    rows = rows[~rows["moment"].isin(["final", BEST])].reset_index(drop=True)
    rows = rows.assign(who=["server" if absent else "clients" for absent in rows["client"].isna()])
    rows = rows.assign(at=rows["moment"].astype(str), kind=_texts(rows, "model"))
    return numbered(rows, _any_lines(rows), "line")


def layers_of(records: pd.DataFrame, metric: str) -> list[str]:
    """Return the layers of which a metric has values, in the order of the model; none if it is one of whole models."""
    rows = records[(records["metric"] == metric) & records["layer"].notna()]
    places = rows.groupby("layer", observed=True)["layer_index"].min().sort_values(kind="stable")
    return [str(name) for name in places.index]


def _any_lines(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return name and rows of each line, clients before the server, by moment."""
    apart = [name for name in _TOLD_APART if _texts(rows, name).nunique() > 1]
    moments = pd.Categorical(rows["at"], [*MOMENT_NAMES])
    keys = [rows["who"], moments, *(_texts(rows, name) for name in apart)]
    found = []
    for (who, at, *others), line in rows.groupby(keys, sort=True, observed=True):
        words = [str(who), MOMENT_NAMES[str(at)], *(str(one).replace("_", " ") for one in others)]
        found.append((", ".join(word for word in words if word), line))
    return found


def _texts(rows: pd.DataFrame, column: str) -> "pd.Series[Any]":
    return rows[column].astype(object).fillna("")
