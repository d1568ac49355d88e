"""The comparison of a study's algorithms as charts: by setting, by rank, by how evenly clients are served."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.views.comparison.compared import AlgorithmComparison
from fedlayers.views.comparison.conclusions import conclusions
from fedlayers.views.comparison.lacking import no_ranks
from fedlayers.views.comparison.ranking import Ranking, alike
from fedlayers.views.quantities import axis_label

_SCORES = ("mean", "median", "worst_decile", "worst_client", "variance")
_ENDS = [f"{name}{end}" for name in _SCORES for end in ("", "_low", "_high")]
_SHOWN = ["setting", "algorithm", "seeds", "clients", "missing", *_ENDS, "better_than_local", "participation"]


def by_setting(comparison: AlgorithmComparison) -> Charted:
    """Return what every algorithm reached in every setting: mean over clients and seeds, 95 % intervals over seeds.

    Returns:
        Columns ``setting, algorithm, seeds, clients, missing``; ``mean, median, worst_decile, worst_client, variance``
        with ``_low`` and ``_high``; ``better_than_local``, ``participation`` (shares of clients) and ``is_best``; see
        :func:`fedlayers.views.comparison.summaries.algorithm_scores`. Facts: ``label``, ``direction``, ``reported``,
        ``split``, ``baseline``, ``metric``, ``metrics`` (of which there are scores), ``conclusions``, sentences.
    """
    rows = comparison.algorithms
    shown = rows[rows["metric"] == comparison.metric].reset_index(drop=True)
    quantity = comparison.quantities[comparison.metric]
    best = shown.groupby("setting")["mean"].transform("max" if quantity.direction == "higher" else "min")
    same = shown["setting"].map({name: comparison.has_same_values(name) for name in shown["setting"].unique()})
    # Means over other seeds cannot be compared: none of them is marked.
    marked = shown[_SHOWN].assign(is_best=(shown["mean"] == best) & same.astype(bool))
    facts = {
        "label": axis_label(quantity), "metric": comparison.metric, "direction": quantity.direction,
        "metrics": sorted(str(name) for name in rows["metric"].unique()), "reported": str(comparison.reported),
        "split": comparison.split, "baseline": comparison.baseline, "conclusions": list(conclusions(comparison)),
    }  # fmt: skip
    return Charted.of(marked, facts)


def ranks(comparison: AlgorithmComparison) -> Charted:
    """Return mean ranks of algorithms over blocks of runs and of settings, and which of them cannot be told apart.

    Returns:
        Columns ``over`` (``runs`` or ``settings``), ``algorithm, rank``, the best first; facts ``rankings``: of each
        ``over, blocks, settings, p`` (Friedman's), ``reason`` (why there is no test), ``critical_difference``
        (Nemenyi's) and ``alike``, the algorithms of each longest row that is not critically far apart; ``nothing``, why
        there are none, or None.

    References:
        Demšar 2006, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7.
    """
    chosen = [one for one in comparison.rankings if one.metric == comparison.metric]
    rows = [(one.blocks, name, rank) for one in chosen for name, rank in zip(one.algorithms, one.ranks, strict=True)]
    frame = pd.DataFrame(rows, columns=["over", "algorithm", "rank"]).astype({"rank": float})
    label = f"mean rank by {axis_label(comparison.quantities[comparison.metric])}, 1 is the best"
    own = comparison.scores[comparison.scores["metric"] == comparison.metric]
    nothing = None if chosen else no_ranks(own)
    return Charted.of(frame, {"label": label, "rankings": [_said(one) for one in chosen], "nothing": nothing})


def _said(one: Ranking) -> dict[str, Any]:
    groups: Sequence[tuple[int, int]] = [] if one.test.reason else alike(one)
    return {
        "over": one.blocks, "blocks": one.test.blocks, "settings": one.settings, "p": one.test.p,
        "reason": one.test.reason, "critical_difference": one.critical_difference,
        "alike": [[one.algorithms[place] for place in range(first, last + 1)] for first, last in groups],
    }  # fmt: skip


def by_client(comparison: AlgorithmComparison) -> Charted:
    """Return the clients of every setting under every algorithm: mean over seeds with its 95 % interval.

    Returns:
        Columns ``setting, algorithm, client, client_name, seeds, mean, mean_low, mean_high``; facts ``label``.
    """
    rows = comparison.clients
    shown = rows[rows["metric"] == comparison.metric]
    names = ["setting", "algorithm", "client", "client_name", "seeds", "mean", "mean_low", "mean_high"]
    return Charted.of(shown[names], {"label": axis_label(comparison.quantities[comparison.metric])})
