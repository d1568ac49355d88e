"""By how much every algorithm differs from a baseline, seed by seed and client by client."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from fedlayers.statistics.comparison.paired import paired_p, seeds_needed
from fedlayers.statistics.comparison.post_hoc import holm
from fedlayers.statistics.comparison.resampling import over_seeds
from fedlayers.views.comparison.summaries import by_seed_and_client

COLUMNS = (
    *("setting", "metric", "algorithm", "baseline", "client", "seeds", "mean", "low", "high", "interval", "median"),
    *("p", "p_holm", "seeds_needed"),
)


def differences(scores: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return the paired differences of algorithms from a baseline.

    Runs of one seed have the same data, split and first weights: values of the same seed and client are subtracted, the
    mean over clients is taken within a seed, and seeds are the units of the interval and of Student's paired test. What
    one of the two lacks is left out.

    Args:
        scores: columns ``setting, algorithm, seed, client, metric, value``.
        baseline: an algorithm.

    Returns:
        ``COLUMNS``: a row for the mean over clients, without a ``client``, and one for every client. ``seeds`` are
        those that both have; ``mean`` of the algorithm less the baseline, with the ends of its 95 % interval;
        ``p_holm`` is corrected for the number of algorithms that are compared with the baseline in the setting; so many
        ``seeds_needed`` would show such a difference in four of five studies. In settings without the baseline there
        are no rows.
    """
    rows: list[dict[str, Any]] = []
    for (setting, metric), here in scores.groupby(["setting", "metric"], sort=True):
        table = by_seed_and_client(here)
        if baseline not in table.index:
            continue
        cell = {"setting": setting, "metric": metric, "baseline": baseline}
        found = [
            {**cell, "algorithm": name, **row}
            for name in table.index.drop(baseline)
            for row in _rows((table.loc[name] - table.loc[baseline]).dropna())
        ]
        whole = [row for row in found if row["client"] is None]
        for row, p in zip(whole, holm(np.array([row["p"] for row in whole])), strict=True):
            row["p_holm"] = p
        rows += found
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"client": "Int64"})


def _rows(apart: "pd.Series[float]") -> Iterator[dict[str, Any]]:
    """Yield the row of the mean over clients and those of single clients, of differences by seed and client."""
    if apart.empty:
        return
    yield {"client": None, **_row(apart.groupby(level="seed").mean().to_numpy())}
    for client, own in apart.groupby(level="client"):
        yield {"client": int(str(client)), **_row(own.to_numpy())}


def _row(values: np.ndarray) -> dict[str, Any]:
    found = over_seeds(values[None])
    return {
        "seeds": len(values),
        "mean": float(found.value[0]),
        "low": float(found.low[0]),
        "high": float(found.high[0]),
        "interval": found.kind,
        "median": float(np.median(values)),
        "p": paired_p(values),
        "p_holm": math.nan,
        "seeds_needed": seeds_needed(values),
    }
