"""What the layers of each group of runs answer: change over depth, its interval over seeds, and a test for a trend."""

import math
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from fedlayers.core.quantities import Quantities
from fedlayers.statistics.differences import mean_interval
from fedlayers.statistics.trend import SIGNIFICANT, Trend, trend_over_depth
from fedlayers.views.chain.questions import QUESTION_OF, QUESTIONS
from fedlayers.views.chain.readings import GLOBAL, layer_names, preferred_variant
from fedlayers.views.numbered import parts_of

YES, NO, NOT_SHOWN, UNSAID = "yes", "no", "not shown", "cannot be said"
# Of neighbours: all differ, but by less than this share of the way from equal to nothing in common; and some do.
HARDLY, IN_PART = "hardly", "in part"
_HARDLY = 0.1
KEYS = ["metric", "who", "variant"]
_NO_INTERVAL = (math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Answer:
    """What one quantity says about one question, in one group of runs.

    Attributes:
        group, question, quantity, variant, who: what was asked of whom, see
            :func:`fedlayers.views.chain.readings.readings`.
        main: whether it is the one of its group and question that answers by default.
        runs, layers: how many; only layers that have a value in every run count.
        first_layer, last_layer: their names.
        first, last: mean values there over runs.
        change, change_low, change_high: last less first, mean over runs, and its 95 % t interval over them; NaN of one
            layer.
        tau, test, p: of the trend over depth, see :func:`fedlayers.statistics.trend.trend_over_depth`.
        highest, lowest: the layers with the highest and the lowest mean.
        level, level_low, level_high: mean over layers, and its 95 % t interval over runs.
        same: the value if neighbouring layers were the same, NaN where none is known.
        chance: what chance alone gives, mean over layers, NaN where it is not known.
        verdict: ``yes``, ``no``, ``not shown`` or ``cannot be said``; of neighbours also ``in part`` (some differ) and
            ``hardly`` (all do, by less than a tenth of the way from equal to nothing in common).
        reason: why nothing, or no more, can be said; empty if there is nothing to add.
    """

    group: str
    question: str
    quantity: str
    variant: str
    who: str
    main: bool
    runs: int
    layers: int
    first_layer: str
    last_layer: str
    first: float
    last: float
    change: float
    change_low: float
    change_high: float
    tau: float
    test: str
    p: float
    highest: str
    lowest: str
    level: float
    level_low: float
    level_high: float
    same: float
    chance: float
    verdict: str
    reason: str


def answers(rows: pd.DataFrame, quantities: Quantities) -> list[Answer]:
    """Return what every quantity says, by group, question and quantity; the main one of a question first.

    Args:
        rows: of :func:`fedlayers.views.chain.readings.readings`.
        quantities: what is known of the quantities: no interval of a level reaches beyond their limits.
    """
    found = []
    for _, of_group in parts_of(rows, "group"):
        for question in QUESTIONS:
            order = {name: place for place, name in enumerate(question.quantities)}
            of_question = of_group[of_group["question"] == question.name]
            parts = {tuple(map(str, key)): part for key, part in of_question.groupby(KEYS)}
            ranked = sorted(parts, key=lambda key: (key[1] != GLOBAL, order[key[0]], preferred_variant(key[2])))
            found += [
                _answer(parts[key], quantities[key[0]].limits, main=place == 0) for place, key in enumerate(ranked)
            ]
    return found


def table_of_answers(found: list[Answer]) -> pd.DataFrame:
    """Return answers as a table, a row each."""
    return pd.DataFrame([asdict(answer) for answer in found], columns=list(Answer.__dataclass_fields__))


def by_run(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over clients of each run (rows) at each layer (columns) that has a value in every run."""
    return rows.groupby(["run", "place"])["value"].mean().unstack().dropna(axis=1)


def _answer(rows: pd.DataFrame, limits: tuple[float, float], main: bool) -> Answer:
    values = by_run(rows)
    first, names = rows.iloc[0], layer_names(rows)
    quantity, question = str(first["metric"]), QUESTION_OF[str(first["metric"])]
    told = [names[int(place)] for place in values.columns.to_numpy()]
    array = values.to_numpy(float)
    trend = trend_over_depth(array)
    ends = question.neighbours.get(quantity)
    towards = question.quantities[quantity]
    verdict, reason = _of_neighbours(rows, values, *ends) if ends else _over_depth(towards, trend, values)
    means = array.mean(0) if array.size else np.array([math.nan])
    change = mean_interval(array[:, -1] - array[:, 0]) if len(told) > 1 else _NO_INTERVAL
    level, low, high = np.clip(mean_interval(array.mean(1)), *limits) if array.size else _NO_INTERVAL
    named = told or [""]
    return Answer(
        str(first["group_name"]), question.name, quantity, str(first["variant"]), str(first["who"]), main,
        len(values), len(told), named[0], named[-1], float(means[0]), float(means[-1]), *change,
        trend.tau, trend.test, trend.p, named[int(means.argmax())], named[int(means.argmin())],
        float(level), float(low), float(high),
        ends[0] if ends else math.nan, float(rows["chance"].mean()), verdict, reason,
    )  # fmt: skip


def _over_depth(towards: int, trend: Trend, values: pd.DataFrame) -> tuple[str, str]:
    """Say whether the trend is towards what a question asks; any trend counts if neither direction is."""
    if trend.reason:
        return UNSAID, trend.reason
    if trend.least_p >= SIGNIFICANT:
        runs = f"{len(values)} run{'s' * (len(values) > 1)}"
        return UNSAID, (
            f"no order of {values.shape[1]} layers in {runs} could be told from chance (p is {trend.least_p:.2g} or "
            "more): take more seeds"
        )
    if not trend.is_shown:
        return NOT_SHOWN, ""
    if towards == 0:
        return YES, ""
    return (YES if trend.tau * towards > 0 else NO), ""


def _of_neighbours(rows: pd.DataFrame, values: pd.DataFrame, same: float, unlike: float) -> tuple[str, str]:
    """Say at how many layers an interval leaves out what two equal neighbours would give."""
    if values.empty:
        return UNSAID, "no layer has a value in every run"
    if len(values) > 1:
        ends = [mean_interval(values[place].to_numpy(float)) for place in values]
        reason = ""
    else:
        errors = rows.groupby("place")["stderr"].mean() if len(rows) == values.shape[1] else pd.Series(dtype=float)
        half = 1.96 * errors.reindex(values.columns).to_numpy(float)
        if not np.isfinite(half).all():
            return UNSAID, "one run has no interval over seeds, and its values no standard errors: take more seeds"
        means = values.iloc[0].to_numpy(float)
        ends = list(zip(means, means - half, means + half, strict=True))
        reason = "one run: intervals are those over examples"
    apart = [not low <= same <= high for _, low, high in ends]
    if not all(apart):
        return (IN_PART if any(apart) else NOT_SHOWN), reason
    share = (float(values.to_numpy().mean()) - same) / (unlike - same)
    return (HARDLY if share < _HARDLY else YES), reason
