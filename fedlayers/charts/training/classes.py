"""How well each class is recognised, by whom, and how well frequent and rare ones are."""

from typing import Any

import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.charts.training.over_rounds import chosen, lines_over_rounds, series_in, series_of
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables
from fedlayers.views.client_names import client_names
from fedlayers.views.quantities import axis_label
from fedlayers.views.values import usable

SCORES = ("f1", "precision", "recall", "ap")
CLASS_METRICS = tuple(f"class_{score}" for score in SCORES)
TIER_METRICS = tuple(f"tier_{score}" for score in SCORES)
TIERS = ("head", "medium", "tail")
_WITHOUT = "run with metrics=[evaluation,classes]"


def class_scores(tables: Tables, metric: str | None = None) -> Charted:
    """Return a score of every class on every client's examples, in all rounds.

    Args:
        tables: of a run.
        metric: one of ``CLASS_METRICS``; the first that was measured if none is given.

    Returns:
        A row per client (NaN for the server), class, round and series: ``round, series, client, client_name, class,
        value, n`` (examples of the class) and ``reason`` (why there is no value). Facts: ``metric, metrics`` (those
        that were measured), ``label, limits`` (of colours), ``classes, series, rounds`` and ``without`` (what to do
        where nothing was measured).

    Raises:
        UserError: the metric was not measured.
    """
    records, facts = tables.records, run_facts(tables.path)
    measured = {str(name) for name in records["metric"].unique()}
    known = [name for name in CLASS_METRICS if name in measured]
    name = chosen(metric, known)
    rows = records[records["metric"] == name]
    rows = rows.assign(series=series_of(rows, "subject"))
    names = client_names(facts, rows["client"])
    present = {str(label) for label in rows["subject"].dropna().unique()}
    stated = [str(label) for label in facts.get("classes") or ()]
    frame = rows.assign(
        client_name=["server" if client is None else names[client] for client in _numbers(rows["client"])],
        **{"class": rows["subject"].astype(object)},
    )
    columns = ["round", "series", "client", "client_name", "class", "value", "n", "reason"]
    label = axis_label(tables.quantities[name]) if name else ""
    return Charted.of(
        frame[columns],
        {
            "metric": name, "metrics": known, "label": label, "limits": [0, 1],
            "classes": [label for label in stated if label in present] + sorted(present - {*stated}),
            "clients": [{"client": client, "name": called} for client, called in names.items()],
            "series": series_in(frame), "rounds": sorted({int(one) for one in rows["round"]}),
            "without": _WITHOUT,
        },
    )  # fmt: skip


def tier_scores(tables: Tables, metric: str | None = None) -> Charted:
    """Return a score of head, medium and tail classes over the rounds: the mean over clients with its band.

    Args:
        tables: of a run.
        metric: one of ``TIER_METRICS``; the first that was measured if none is given.

    Returns:
        What :func:`fedlayers.charts.training.over_rounds.lines_over_rounds` returns, by ``series`` and ``tier``; facts
        ``metric, metrics, series, tiers`` and ``without``, too.

    Raises:
        UserError: the metric was not measured.
    """
    records = tables.records
    measured = {str(name) for name in records["metric"].unique()}
    known = [name for name in TIER_METRICS if name in measured]
    name = chosen(metric, known)
    rows = usable(records[records["metric"] == name])
    rows = rows.assign(series=series_of(rows, "subject"), tier=rows["subject"].astype(object))
    there = [tier for tier in TIERS if (rows["tier"] == tier).any()]
    said = {"metric": name, "metrics": known, "series": series_in(rows), "tiers": there}
    return lines_over_rounds(rows, ["series", "tier"], tables.quantities[name], {**said, "without": _WITHOUT})


def _numbers(clients: "pd.Series[Any]") -> list[int | None]:
    return [None if pd.isna(client) else int(client) for client in clients]
