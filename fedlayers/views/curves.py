"""Values over the rounds, line by line: learning curves (accuracy and loss of whole models), and any metric."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fedlayers.core.records import BEST
from fedlayers.views.moments import MOMENT_NAMES, at_moments, last_steps
from fedlayers.views.numbered import numbered
from fedlayers.views.run_groups import Group, in_groups
from fedlayers.views.values import usable, with_value

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


def curve_rows(records: pd.DataFrame, metrics: Sequence[str] = CURVES) -> pd.DataFrame:
    """Return accuracy and loss of whole models on the server's and clients' test examples, or else validation."""
    of_models = records["metric"].isin(metrics) & records["layer"].isna() & records["subject"].isna()
    shown = with_value(records) & (of_models & records["step"].isna()).to_numpy(bool)
    has = _marks(records["scope"])
    scope = next((name for name in ("client_test", "client_val") if (has(name) & shown).any()), None)
    found: pd.DataFrame = records[shown & (has("server_test") | has(scope))]
    return found


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
    return _on_lines(rows, list(_lines(rows)))


def _on_lines(rows: pd.DataFrame, lines: Sequence["_Line"]) -> pd.DataFrame:
    """Return the rows of lines with what :func:`learning_curves` says of them."""
    lengths = [len(line.places) for line in lines]
    panels = [metric for metric in CURVES if any(line.metric == metric for line in lines)]

    def column(values: Iterable[object], kind: type) -> np.ndarray:
        return np.repeat(np.array([*values], kind), lengths)

    columns = {
        "who": column((line.who for line in lines), object),
        "at": column((line.at for line in lines), object),
        "kind": column((line.kind for line in lines), object),
        "kinds": column((line.kinds for line in lines), int),
        "line": column(range(len(lines)), int),
        "line_name": column((line.name for line in lines), object),
        "panel": column((panels.index(line.metric) for line in lines), int),
        "panel_name": column((line.metric for line in lines), object),
    }
    places = np.concatenate([np.array([], int), *(line.places for line in lines)])
    return rows.take(places).assign(**columns)


@dataclass(frozen=True)
class _Line:
    """A line of a metric: its name, what it is of, and the places of its rows."""

    metric: str
    name: str
    who: str
    at: str
    kind: str
    kinds: int
    places: np.ndarray


def _lines(rows: pd.DataFrame) -> Iterator[_Line]:
    """Yield the lines of the metrics, in the order of ``CURVES``."""
    measures, is_at, is_in = (_marks(rows[name]) for name in ("metric", "moment", "scope"))
    of_moment = {moment: _at(rows, moment).to_numpy(bool) for moment in ("after_local", "after_aggregate", "final")}
    models = rows["model"].astype(object).fillna("").to_numpy(object)
    for metric in CURVES:
        clients = measures(metric) & ~is_in("server_test")
        for moment, at in of_moment.items():
            then = clients & at
            models_then = {*models[then]}
            kinds = len(models_then - {""})
            for kind in sorted(models_then):
                line = then & (models == kind)
                if (line & is_at(moment)).any():
                    name = f"clients, {MOMENT_NAMES[moment]}" + (f", {kind} models" if kinds > 1 else "")
                    yield _Line(metric, name, "clients", moment, kind, kinds, np.flatnonzero(line))
        server = measures(metric) & is_in("server_test") & of_moment["after_aggregate"]
        if server.any():
            name = "server's test set, global model"
            yield _Line(metric, name, "server", "after_aggregate", "global", 1, np.flatnonzero(server))


def _marks(values: "pd.Series[Any]") -> Callable[[str | None], np.ndarray]:
    """Return what says of a text, or of none, which rows have it."""
    known = values.astype("category")
    # Rows without a text have the code -1.
    places = {None: -1, **{name: place for place, name in enumerate(known.cat.categories)}}
    codes, nowhere = known.cat.codes.to_numpy(), len(places)
    return lambda name: codes == places.get(name, nowhere)


def _by_metric(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the number and the name of their metric as ``panel`` and ``panel_name``."""
    shown = [metric for metric in CURVES if (rows["metric"] == metric).any()]
    return numbered(rows, [(metric, rows[rows["metric"] == metric]) for metric in shown], "panel")


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
    if rows["model"].nunique() < 2:
        return rows
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
    if metric in CURVES and layer is None:
        rows = curve_rows(records, (metric,))
        return _on_lines(rows, [line for line in _lines(rows) if line.at != "final"])
    of_layer = records["layer"].isna() if layer is None else records["layer"] == layer
    rows = records[(records["metric"] == metric) & records["subject"].isna() & of_layer]
    ends = at_moments(rows)
    rows = usable(last_steps(rows) if ends.empty else ends)
    rows = rows[~rows["moment"].isin(["final", BEST])].reset_index(drop=True)
    rows = rows.assign(who=["server" if absent else "clients" for absent in rows["client"].isna()])
    rows = rows.assign(at=rows["moment"].astype(str), kind=_texts(rows, "model"))
    return numbered(rows, _any_lines(rows), "line")


def layers_of(records: pd.DataFrame, metric: str) -> list[str]:
    """Return the layers of which a metric has values, in the order of the model; none if it is one of whole models."""
    of_layers = (records["metric"] == metric) & records["layer"].notna()
    if not of_layers.any():
        return []
    rows = records[of_layers]
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
