"""Tables of texts as a paper has them: what stands in the cells, whatever writes them."""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fedlayers.views.comparison.compared import AlgorithmComparison
from fedlayers.views.comparison.scoring import CLIENTS

_DIGITS = 3
# Means of other evaluations, in the columns at the end.
_OTHERS = {"after_aggregate": "after aggregation", "after_local": "after local training", "unseen": "unseen clients"}
# What a mark means.
LEGEND = "best mean; no test"


@dataclass(frozen=True)
class Sheet:
    """A table of texts.

    Attributes:
        title: what it shows.
        header: of its columns; the first one names the rows.
        rows: texts, as many a row as columns.
        best: row and column of the cells that stand out; ``LEGEND`` says what they are.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]] = frozenset()


def sheets(comparison: AlgorithmComparison) -> Iterator[Sheet]:
    """Yield the tables of a comparison by its metric: all settings side by side, then each with all that is known."""
    shown = comparison.algorithms[comparison.algorithms["metric"] == comparison.metric]
    settings = list(dict.fromkeys(shown["setting"]))
    if len(settings) > 1:
        yield _overview(comparison, shown, settings)
    for setting in settings:
        yield _of_setting(comparison, shown[shown["setting"] == setting], setting)


def _overview(comparison: AlgorithmComparison, shown: pd.DataFrame, settings: Sequence[str]) -> Sheet:
    """Return algorithms by settings, mean ± half of the interval, with the mean rank over settings."""
    ranks = {
        name: rank
        for one in comparison.rankings
        if (one.metric, one.blocks) == (comparison.metric, "settings")
        for name, rank in zip(one.algorithms, one.ranks.tolist(), strict=True)
    }
    algorithms = sorted(dict.fromkeys(shown["algorithm"]), key=lambda name: (ranks.get(name, math.inf), name))
    cells = {(row["setting"], row["algorithm"]): row for row in shown.to_dict("records")}
    rows = []
    for name in algorithms:
        found = [cells.get((setting, name)) for setting in settings]
        rank = ranks.get(name, math.nan)
        rows.append((name, *(_with_half(cell) for cell in found), _number(rank, 2)))
    best = frozenset(
        (algorithms.index(str(name)), 1 + column)
        for column, setting in enumerate(settings)
        for name in _best(comparison, shown[shown["setting"] == setting])
    )
    return Sheet(_title(comparison, "by setting"), ("algorithm", *settings, "mean rank"), tuple(rows), best)


def _of_setting(comparison: AlgorithmComparison, shown: pd.DataFrame, setting: str) -> Sheet:
    """Return all that is known of the algorithms in a setting, the best mean first."""
    higher = comparison.quantities[comparison.metric].direction == "higher"
    ordered = shown.sort_values(["mean", "algorithm"], ascending=[not higher, True])
    apart = comparison.differences
    mine = apart[(apart["setting"] == setting) & (apart["metric"] == comparison.metric) & apart["client"].isna()]
    of_pairs = {row["algorithm"]: row for row in mine.to_dict("records")}
    others = [name for name in _OTHERS if name != comparison.reported.evaluation and ordered[name].notna().any()]
    header = (
        *("algorithm", "seeds", "mean [95 %]", "median", "worst tenth", "worst client", "variance"),
        *("better than alone", f"− {comparison.baseline} [95 %]", "p (Holm)", "seeds needed"),
        *(_OTHERS[name] for name in others),
    )
    rows = [
        (*_row(row, of_pairs.get(row["algorithm"])), *(_number(row[name]) for name in others))
        for row in ordered.to_dict("records")
    ]
    best = frozenset((place, 2) for place, name in enumerate(ordered["algorithm"]) if name in _best(comparison, shown))
    return Sheet(_title(comparison, setting), header, tuple(rows), best)


def _row(row: Mapping[Hashable, Any], pair: Mapping[Hashable, Any] | None) -> tuple[str, ...]:
    """Return the cells of an algorithm, and of its difference from the baseline unless it is that itself."""
    mean = _with_ends(row["mean"], row["mean_low"], row["mean_high"])
    others = (_number(row[name]) for name in ("median", "worst_decile", "worst_client"))
    own = (
        row["algorithm"],
        str(row["seeds"]),
        mean,
        *others,
        _small(row["variance"]),
        _share(row["better_than_local"]),
    )
    if pair is None:
        return (*own, "–", "–", "–")
    apart = _with_ends(pair["mean"], pair["low"], pair["high"], signed=True)
    return (*own, apart, p_value(pair["p_holm"]), _count(pair["seeds_needed"]))


def _title(comparison: AlgorithmComparison, what: str) -> str:
    split = {"test": "test", "val": "validation"}[comparison.split]
    means = "means over clients and seeds, with 95 % intervals over seeds"
    whose = CLIENTS[comparison.reported.clients]
    return f"{what}: {whose} {split} {comparison.metric}, {comparison.reported}; {means}"


def _best(comparison: AlgorithmComparison, shown: pd.DataFrame) -> set[str]:
    """Return the algorithms with the best mean in a setting, as many as share it: none if seeds or clients differ."""
    if not comparison.has_same_values(str(shown["setting"].iloc[0])):
        return set()
    higher = comparison.quantities[comparison.metric].direction == "higher"
    end = shown["mean"].max() if higher else shown["mean"].min()
    return {str(name) for name in shown.loc[shown["mean"] == end, "algorithm"]}


def _with_half(row: Mapping[Hashable, Any] | None) -> str:
    if row is None:
        return "–"
    mean, low, high = (row[name] for name in ("mean", "mean_low", "mean_high"))
    return _number(mean) + (f" ± {_number((high - low) / 2)}" if math.isfinite(high) else "")


def _with_ends(value: float, low: float, high: float, signed: bool = False) -> str:
    ends = f" [{_number(low, signed=signed)}, {_number(high, signed=signed)}]" if math.isfinite(low) else ""
    return _number(value, signed=signed) + ends


def _number(value: float, digits: int = _DIGITS, signed: bool = False) -> str:
    if not math.isfinite(value):
        return "–"
    return (f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}").replace("-", "−")


def _small(value: float) -> str:
    return f"{value:.2g}" if math.isfinite(value) else "–"


def _share(value: float) -> str:
    return f"{value:.0%}" if math.isfinite(value) else "–"


def p_value(value: float) -> str:
    """Return a p value as text, a dash if there is none."""
    return "–" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _count(value: float) -> str:
    return "–" if math.isnan(value) else "> 10,000" if math.isinf(value) else f"{value:,.0f}"
