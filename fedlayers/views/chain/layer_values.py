"""Any metric's values of single layers, by depth and time: one owner, moment and variant for each run and metric."""

import pandas as pd

from fedlayers.views.chain.groups import ChainStudy
from fedlayers.views.chain.readings import preferred_variant
from fedlayers.views.moments import MOMENT_NAMES, at_moments
from fedlayers.views.run_groups import in_groups
from fedlayers.views.values import usable

# What is looked at, the first there is: the global model, else clients as they have trained.
_SEEN = (
    *(("server", moment) for moment in ("after_aggregate", "after_local", "final", "start")),
    *(("client", moment) for moment in ("after_local", "after_aggregate", "final", "start")),
)
_ORDER = {" ".join(seen): float(place) for place, seen in enumerate(_SEEN)}
_WHAT = {
    f"{owner} {moment}": f"{owner if owner == 'server' else 'clients'}, {MOMENT_NAMES[moment]}"
    for owner, moment in _SEEN
}
_INSIDE = {what: f"{what.partition(',')[0]}, inside local training" for what in _WHAT.values()}
_TEXTS = ("run", "metric", "layer", "variant", "scope", "owner", "moment")
_NUMBERS = ["round", "step", "client", "layer_index", "value", "stderr", "chance", "chance_hi", "status"]


def measured_metrics(records: pd.DataFrame) -> list[str]:
    """Return the metrics that have values of single layers at moments, on all examples, by name."""
    return sorted(str(name) for name in at_moments(_whole(records))["metric"].unique())


def timed_metrics(records: pd.DataFrame) -> list[str]:
    """Return those that were measured in several rounds, or inside local training, by name."""
    rows = _whole(records)
    spread = rows.groupby("metric", observed=True).agg(rounds=("round", "nunique"), steps=("step", "count"))
    return sorted(str(name) for name in spread[(spread["rounds"] > 1) | (spread["steps"] > 0)].index)


def layer_values(study: ChainStudy) -> pd.DataFrame:
    """Return the values of single layers at moments, of all examples; of classes and ranks alone there are none.

    Returns:
        Of each run and metric the usable rows of one owner, moment, scope and variant (of the global model after
        aggregation, if it was measured; else of clients' models after local training), as texts and numbers

        - ``run, seed, client, metric, layer, layer_index, round, value, stderr, chance, chance_hi, status``;
        - ``place``: the depth of the layer among those of its run that have values, 0, 1, …;
        - ``what``: whose values at which moment, such as ``server, after aggregation``;
        - ``group, group_name``: see :func:`fedlayers.views.run_groups.in_groups`.
    """
    return _chosen(study, at_moments(study.records))


def last_layer_values(study: ChainStudy) -> pd.DataFrame:
    """Return those of :func:`layer_values` that were measured last in their run."""
    rows = layer_values(study)
    newest = rows.groupby(["run", "metric"])["round"].transform("max")
    found: pd.DataFrame = rows[rows["round"] == newest]
    return found


def layer_times(study: ChainStudy) -> pd.DataFrame:
    """Return the values of single layers over time: inside local training where a metric was measured there.

    Returns:
        Rows of :func:`layer_values`, or of the same columns at steps, with ``time``: the number of the round or, at
        step s of round r whose last step measured is S, r − 1 + s / S.
    """
    records = study.records
    inside = records["step"].notna()
    keys = records["run"].astype(str) + "\n" + records["metric"].astype(str)
    stepped = keys.isin(keys[inside].unique())
    steps = _chosen(study, records[inside])
    steps["what"] = steps["what"].astype(object).map(_INSIDE)
    parts = [steps, _chosen(study, records[~inside & ~stepped])]
    rows = pd.concat([part for part in parts if not part.empty] or parts[:1])
    last = rows.groupby(["run", "metric", "round"])["step"].transform("max")
    share = (rows["step"] / last).astype(float).fillna(1.0)
    return rows.assign(time=rows["round"] - 1 + share)


def _chosen(study: ChainStudy, records: pd.DataFrame) -> pd.DataFrame:
    rows = _whole(records)
    texts = {name: rows[name].astype(object).fillna("").astype(str) for name in _TEXTS}
    rows = rows[_NUMBERS].assign(**texts, seed=rows["seed"].fillna(0).astype(int) if "seed" in rows else 0)
    rows["round"] = rows["round"].astype(int)
    rows["layer_index"] = rows["layer_index"].astype(int)
    seen = rows["owner"] + " " + rows["moment"]
    rows = _first(rows.assign(what=seen.map(_WHAT).astype(object)), seen.map(_ORDER).astype(float))
    variants = sorted(rows["variant"].unique(), key=preferred_variant)
    for name, ranked in (("variant", variants), ("scope", sorted(rows["scope"].unique()))):
        rows = _first(rows, rows[name].map({value: place for place, value in enumerate(ranked)}).astype(float))
    place = rows.groupby("run")["layer_index"].rank(method="dense") - 1
    return in_groups(rows.assign(place=place.astype(int)), study.plain_groups)


def _whole(records: pd.DataFrame) -> pd.DataFrame:
    return usable(records[records["layer"].notna() & records["subject"].isna()])


def _first(rows: pd.DataFrame, order: "pd.Series[float]") -> pd.DataFrame:
    """Return of each run and metric the rows that come first in an order."""
    if rows.empty:
        return rows
    found: pd.DataFrame = rows[order == order.groupby([rows["run"], rows["metric"]]).transform("min")]
    return found
