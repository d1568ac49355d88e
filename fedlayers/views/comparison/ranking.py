"""How algorithms rank over blocks, whether the ranks differ by more than chance, and which do."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from fedlayers.core.quantities import Quantities
from fedlayers.statistics.comparison.friedman import Friedman, friedman
from fedlayers.statistics.comparison.post_hoc import against_control, critical_difference, nemenyi
from fedlayers.statistics.comparison.ranks import mean_ranks

# A block for every setting and seed that all ranked algorithms have, the mean over the clients that all of them have
# there, or for every setting: the median over those seeds.
BLOCKS = ("runs", "settings")


@dataclass(frozen=True)
class Ranking:
    """Ranks over the blocks that have every ranked algorithm.

    Attributes:
        metric: by which.
        blocks: one of ``BLOCKS``.
        algorithms: those that are in every setting, best rank first.
        ranks: their mean ranks, 1 the best; same order.
        test: whether they differ.
        settings: over how many the blocks are, of those with a seed that all ranked algorithms have.
        left_out: algorithms that are not in every setting, and the number of blocks that lack an algorithm: of settings
            those without a seed that all have.
    """

    metric: str
    blocks: str
    algorithms: tuple[str, ...]
    ranks: np.ndarray
    test: Friedman
    settings: int
    left_out: tuple[tuple[str, ...], int]

    @property
    def critical_difference(self) -> float:
        """By how much two mean ranks must differ in Nemenyi's test, NaN if there is no test."""
        return critical_difference(len(self.ranks), self.test.blocks) if not self.test.reason else float("nan")


def rankings(scores: pd.DataFrame, quantities: Quantities) -> list[Ranking]:
    """Return the rankings by every metric, with two algorithms or more.

    Args:
        scores: see :func:`fedlayers.views.comparison.summaries.run_scores`.
        quantities: which of the metrics are better if higher.
    """
    found = []
    for metric, own in scores.groupby("metric", sort=True):
        higher = quantities[str(metric)].direction == "higher"
        found += [one for blocks in BLOCKS if (one := _ranking(own, str(metric), blocks, higher)) is not None]
    return found


def _ranking(scores: pd.DataFrame, metric: str, blocks: str, higher: bool) -> Ranking | None:
    settings = scores["setting"].nunique()
    everywhere = scores.groupby("algorithm")["setting"].nunique() == settings
    names = [str(name) for name in everywhere.index[everywhere]]
    absent = tuple(str(name) for name in everywhere.index[~everywhere])
    ranked = scores[scores["algorithm"].isin(names)]
    table = ranked.set_index(["setting", "seed", "client", "algorithm"])["value"].unstack("algorithm").sort_index()
    # A mean over other clients would be one of other data.
    whole = table.dropna().groupby(level=["setting", "seed"]).mean()
    used = whole.index.get_level_values("setting").nunique()
    lacking = table.groupby(level=["setting", "seed"]).ngroups - len(whole)
    if blocks == "settings":
        # A median over other seeds would be one of other data, splits and first weights.
        whole, lacking = whole.groupby(level="setting").median(), settings - used
    if len(names) < 2 or whole.empty or (blocks == "settings" and settings < 2):
        return None
    values = whole.to_numpy() if higher else -whole.to_numpy()
    ranks = mean_ranks(values, True)
    order = np.lexsort((np.arange(len(ranks)), ranks))
    algorithms = tuple(str(whole.columns[place]) for place in order)
    return Ranking(metric, blocks, algorithms, ranks[order], friedman(values), used, (absent, lacking))


def alike(one: Ranking) -> list[tuple[int, int]]:
    """Return the first and the last of each longest row of algorithms whose ranks are not critically far apart."""
    count = len(one.ranks)
    ends = [int(np.searchsorted(one.ranks, rank + one.critical_difference, "right")) - 1 for rank in one.ranks]
    return [
        (first, ends[first])
        for first in range(count)
        if ends[first] > first and (not first or ends[first] > ends[first - 1])
    ]


def tests_table(found: Sequence[Ranking]) -> pd.DataFrame:
    """Return Friedman's tests, a row each: see :class:`fedlayers.statistics.comparison.friedman.Friedman`."""
    rows = [
        {
            "metric": one.metric,
            "over": one.blocks,
            "settings": one.settings,
            **asdict(one.test),
            "critical_difference": one.critical_difference,
        }
        for one in found
    ]
    return pd.DataFrame(rows)


def ranks_table(found: Sequence[Ranking]) -> pd.DataFrame:
    """Return mean ranks: columns ``metric, over, algorithm, rank``."""
    rows = [
        (one.metric, one.blocks, name, rank)
        for one in found
        for name, rank in zip(one.algorithms, one.ranks.tolist(), strict=True)
    ]
    return pd.DataFrame(rows, columns=["metric", "over", "algorithm", "rank"])


def pairs_table(found: Sequence[Ranking], baseline: str) -> pd.DataFrame:
    """Return the post-hoc tests of every two algorithms, the better one first.

    Returns:
        Columns ``metric, over, algorithm, other, rank_difference, p_nemenyi`` (for all pairs at once) and ``p_holm``
        (of pairs with the baseline, for all of these).
    """
    rows = [row for one in found if not one.test.reason for row in _pairs(one, baseline)]
    names = ["metric", "over", "algorithm", "other", "rank_difference", "p_nemenyi", "p_holm"]
    return pd.DataFrame(rows, columns=names)


def _pairs(one: Ranking, baseline: str) -> Iterator[tuple[str, str, str, str, float, float, float]]:
    of_all = nemenyi(one.ranks, one.test.blocks)
    control = one.algorithms.index(baseline) if baseline in one.algorithms else None
    none = np.full(len(one.ranks), np.nan)
    of_control = none if control is None else against_control(one.ranks, one.test.blocks, control)
    for first, second in combinations(range(len(one.ranks)), 2):
        with_control = {first: of_control[second], second: of_control[first]}.get(-1 if control is None else control)
        yield (
            *(one.metric, one.blocks, one.algorithms[first], one.algorithms[second]),
            float(one.ranks[second] - one.ranks[first]),
            float(of_all[first, second]),
            float("nan") if with_control is None else float(with_control),
        )
