"""What happened inside while clients trained: gradients, weights and updates by layer, alarms, attention, resources."""

import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.charts.training.over_rounds import chosen, lines_over_rounds, series_in, series_of
from fedlayers.core.quantities import Facts
from fedlayers.runs.reading.tables import Tables
from fedlayers.views.moments import at_moments
from fedlayers.views.values import usable

# Of metrics=[dynamics], of trackers of a loop of one's own, and of metrics=[gradients,weights]: the size of what flows.
FLOW_METRICS = (
    "step_gradient_norm", "step_gradient_norm_max", "step_gradient_rms", "step_weight_norm", "update_ratio",
    "dead_unit_share", "gradient_norm", "update_norm", "norm",
)  # fmt: skip
ATTENTION_METRICS = ("attention_entropy", "attention_span", "attention_distance", "attention_peak")
ALARMS = "gradient_alarms"


def gradient_flow(tables: Tables, metric: str | None = None) -> Charted:
    """Return the size of gradients, weights or updates of each layer over the rounds, mean over clients with its band.

    Args:
        tables: of a run.
        metric: one of ``FLOW_METRICS``; the first that was measured if none is given.

    Returns:
        What :func:`fedlayers.charts.training.over_rounds.lines_over_rounds` returns, by ``series`` and ``layer``; facts
        ``metric, metrics, series, layers`` (in the order of the model) and ``without``, too.

    Raises:
        UserError: the metric was not measured.
    """
    rows = at_moments(tables.records)
    rows = rows[rows["layer"].notna()]
    return _by_layer(tables, rows, FLOW_METRICS, metric, ("subject",), "run with metrics=[evaluation,dynamics]")


def attention(tables: Tables, metric: str | None = None) -> Charted:
    """Return where heads of attention layers look over the rounds: the mean over all models, by layer and head.

    Args:
        tables: of a run.
        metric: one of ``ATTENTION_METRICS``; the first that was measured if none is given.

    Returns:
        What :func:`gradient_flow` returns, with ``head`` beside the layer and facts ``heads``.

    Raises:
        UserError: the metric was not measured.
    """
    rows = tables.records
    rows = rows.assign(head=rows["subject"].astype(object))
    without = "run a model that attends with metrics=[evaluation,attention]"
    found = _by_layer(tables, rows, ATTENTION_METRICS, metric, ("subject",), without, "head")
    return Charted(found.columns, {**found.facts, "heads": list(dict.fromkeys(found.columns["head"]))})


def alarms(tables: Tables) -> Charted:
    """Return what was wrong with gradients while clients trained: how many windows of steps, by kind, layer and client.

    Args:
        tables: of a run.

    Returns:
        A row for each count above zero: ``round, client, layer, kind, count``, the latest round first. Facts:
        ``looked`` (whether anybody looked) and ``total``.
    """
    rows = usable(tables.records[tables.records["metric"] == ALARMS])
    found = rows[rows["value"] > 0].sort_values(["round", "client", "layer_index"], ascending=[False, True, True])
    frame = found[["round", "client", "layer"]].assign(kind=found["subject"].astype(object), count=found["value"])
    return Charted.of(frame, {"looked": bool(len(rows)), "total": float(frame["count"].sum())})


def resources(tables: Tables, metric: str | None = None) -> Charted:
    """Return times, memory, bytes and operations over the rounds: the mean over clients with its band.

    Args:
        tables: of a run.
        metric: a name in the table of resources; the first one by name if none is given.

    Returns:
        What :func:`fedlayers.charts.training.over_rounds.lines_over_rounds` returns, by ``series``; facts ``metric,
        metrics`` and ``series``, too.

    Raises:
        UserError: the metric was not measured.
    """
    table = tables.resources
    table = table[table["value"].notna()]
    known = sorted({str(name) for name in table["metric"].unique()})
    first = next((name for name in ("step_s", "train_s") if name in known), None)
    name = chosen(metric or first, known)
    rows = table[table["metric"] == name]
    rows = rows.assign(series=series_of(rows))
    unit = str(rows["unit"].iloc[0]) if len(rows) else ""
    quantity = Facts(name, unit, 0.0, float("inf"), "neutral", "")
    said = {"metric": name, "metrics": known, "series": series_in(rows), "without": ""}
    return lines_over_rounds(rows, ["series"], quantity, said, " ".join(name.removesuffix(f"_{unit}").split("_")))


def _by_layer(
    tables: Tables,
    rows: pd.DataFrame,
    metrics: tuple[str, ...],
    metric: str | None,
    beside: tuple[str, ...],
    without: str,
    *by: str,
) -> Charted:
    measured = {str(name) for name in rows["metric"].unique()}
    known = [name for name in metrics if name in measured]
    name = chosen(metric, known)
    rows = usable(rows[rows["metric"] == name])
    rows = rows.assign(series=series_of(rows, *beside))
    ordered = rows.drop_duplicates("layer").sort_values("layer_index")
    said = {
        "metric": name, "metrics": known, "series": series_in(rows),
        "layers": [str(layer) for layer in ordered["layer"]], "without": without,
    }  # fmt: skip
    return lines_over_rounds(rows, ["series", "layer", *by], tables.quantities[name], said)
