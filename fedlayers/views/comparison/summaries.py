"""What algorithms reach in each setting: over seeds, for the mean, the worst and every single client."""

import math
from typing import Any

import numpy as np
import pandas as pd

from fedlayers.core.quantities import Quantities
from fedlayers.statistics.comparison.fairness import mean_of_worst, participation_rate, variance_over_clients
from fedlayers.statistics.comparison.resampling import STATISTICS, over_seeds
from fedlayers.views.comparison.scoring import EVALUATIONS

# What is said of the clients of one run.
OF_RUNS = ("mean", "variance", "worst_decile", "worst_client")
# Those with whom a client compares what a federation gives it.
ALONE, AVERAGE = "local", "fedavg"
CELL = ["setting", "metric", "algorithm"]


def run_scores(scores: pd.DataFrame, quantities: Quantities) -> pd.DataFrame:
    """Return what is said of the clients of every run.

    Args:
        scores: columns ``setting, algorithm, seed, client, metric, value``.
        quantities: which of the metrics are better if higher.

    Returns:
        Columns ``setting, metric, algorithm, seed, clients``, and ``OF_RUNS``: the mean over clients, their population
        variance, the mean of the worst tenth of them, and the worst one.
    """
    rows = []
    for (*cell, seed), own in scores.groupby([*CELL, "seed"], sort=True):
        values, higher = own["value"].to_numpy(), quantities[str(cell[1])].direction == "higher"
        worst = mean_of_worst(values, higher), float(values.min() if higher else values.max())
        rows.append((*cell, seed, len(values), float(values.mean()), variance_over_clients(values), *worst))
    return pd.DataFrame(rows, columns=[*CELL, "seed", "clients", *OF_RUNS])


def algorithm_scores(scores: pd.DataFrame, runs: pd.DataFrame, quantities: Quantities) -> pd.DataFrame:
    """Return a row for every setting, metric and algorithm.

    Args:
        scores: see :func:`run_scores`.
        runs: what that returns.
        quantities: see there.

    Returns:
        ``seeds, clients, missing`` (scores that are not there although another client or seed of the algorithm
        has them); ``mean`` and ``median`` over seeds of the mean over clients, each with ``_low`` and ``_high``, the
        ends of its 95 % interval, and ``_interval``, its kind; ``variance, worst_decile, worst_client`` the same, mean
        over seeds; ``variance_of_medians``, over clients, of their median over seeds; and the shares of clients whose
        median over the seeds that all of these have is better than with ``local`` (``better_than_local``), than with
        ``local`` and with ``fedavg`` (``participation``), and of all clients in all seeds who are better off than with
        ``local`` in the same seed (``wins_against_local``) or equally well off (``ties_with_local``); NaN where there
        is no such run or no such seed.
    """
    of_runs = dict(iter(runs.groupby(CELL, sort=True)))
    rows = []
    for (setting, metric), here in scores.groupby(CELL[:2], sort=True):
        facts, table = quantities[str(metric)], by_seed_and_client(here)
        for algorithm, mine in here.groupby("algorithm", sort=True):
            cell, clients = (setting, metric, algorithm), mine["client"].nunique()
            own = of_runs[cell]
            row: dict[str, Any] = dict(zip(CELL, cell, strict=True))
            row |= {"seeds": len(own), "clients": clients, "missing": clients * len(own) - len(mine)}
            row |= _of_seeds(own, facts.limits)
            row["variance_of_medians"] = variance_over_clients(mine.groupby("client")["value"].median().to_numpy())
            rows.append(row | _shares(table, str(algorithm), facts.direction == "higher"))
    return pd.DataFrame(rows)


def with_others(found: pd.DataFrame, beside: pd.DataFrame) -> pd.DataFrame:
    """Return rows of algorithms with the means over clients and seeds of every evaluation, NaN where there is none.

    Args:
        found: see :func:`algorithm_scores`.
        beside: columns ``evaluation, setting, metric, algorithm, seed, client, value``.

    Returns:
        The rows with columns ``after_aggregate`` and ``after_local`` (training), and ``unseen``, of clients that never
        train, after aggregation; of the metric of ``beside`` alone.
    """
    of_seeds = beside.groupby(["evaluation", *CELL, "seed"], sort=True)["value"].mean()
    means = of_seeds.groupby(level=["evaluation", *CELL]).mean().unstack("evaluation").reindex(columns=[*EVALUATIONS])
    return found.merge(means.reset_index(), on=CELL, how="left")


def by_seed_and_client(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the values of one setting and metric, algorithms in rows, seeds and clients in columns, NaN where none."""
    return scores.set_index(["algorithm", "seed", "client"])["value"].unstack(["seed", "client"])


def _of_seeds(own: pd.DataFrame, limits: tuple[float, float]) -> dict[str, Any]:
    """Return what is said over seeds of the clients of an algorithm's runs."""
    row: dict[str, Any] = {}
    for statistic in STATISTICS:
        row |= _interval(statistic, own["mean"].to_numpy(), statistic, limits)
    for name in OF_RUNS[1:]:
        ends = (0.0, math.inf) if name == "variance" else limits
        row |= _interval(name, own[name].to_numpy(), "mean", ends)
    return row


def client_scores(scores: pd.DataFrame, quantities: Quantities) -> pd.DataFrame:
    """Return a row for every setting, metric, algorithm and client: mean and median over seeds, with 95 % intervals."""
    frames = []
    for cell, own in scores.groupby(CELL, sort=True):
        table = own.pivot(index="client", columns="seed", values="value")
        for seeds, alike in table.groupby(table.notna().sum(axis=1), sort=True):
            # Clients with values of equally many seeds are summarised at once.
            values = alike.to_numpy()[alike.notna().to_numpy()].reshape(len(alike), int(str(seeds)))
            found = pd.DataFrame(dict(zip(CELL, cell, strict=True)) | {"client": alike.index, "seeds": int(str(seeds))})
            frames.append(found.assign(**_intervals(values, quantities[str(cell[1])].limits)))
    joined = pd.concat(frames, ignore_index=True)
    return joined.sort_values([*CELL, "client"], ignore_index=True)


def _intervals(values: np.ndarray, limits: tuple[float, float]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for statistic in STATISTICS:
        found = over_seeds(values, statistic)
        low, high = (np.clip(end, *limits) for end in (found.low, found.high))
        columns |= {statistic: found.value, f"{statistic}_low": low, f"{statistic}_high": high}
        columns[f"{statistic}_interval"] = found.kind
    return columns


def _interval(name: str, values: np.ndarray, statistic: str, limits: tuple[float, float]) -> dict[str, Any]:
    found = over_seeds(values[None], statistic)
    low, high = (float(np.clip(end[0], *limits)) for end in (found.low, found.high))
    return {name: float(found.value[0]), f"{name}_low": low, f"{name}_high": high, f"{name}_interval": found.kind}


def _shares(table: pd.DataFrame, algorithm: str, higher: bool) -> dict[str, float]:
    """Return the shares of clients that an algorithm serves better than others do, see :func:`by_seed_and_client`."""
    alone, both = _common(table, algorithm, ALONE), _common(table, algorithm, ALONE, AVERAGE)
    return {
        "better_than_local": _share(_medians(alone), higher),
        "participation": _share(_medians(both), higher),
        "wins_against_local": _share(alone, higher),
        "ties_with_local": _ties(alone),
    }


def _common(table: pd.DataFrame, algorithm: str, *others: str) -> pd.DataFrame:
    """Return the rows of an algorithm and of others, where all of them have values; none if one of them is missing."""
    if algorithm in others or not set(others) <= {*table.index}:
        return table.iloc[:, :0]
    return table.loc[[algorithm, *others]].dropna(axis=1)


def _medians(table: pd.DataFrame) -> pd.DataFrame:
    return table.T.groupby(level="client").median().T


def _ties(table: pd.DataFrame) -> float:
    both = table.to_numpy()
    return float((both[0] == both[1]).mean()) if both.size else math.nan


def _share(table: pd.DataFrame, higher: bool) -> float:
    both = table.to_numpy()
    return participation_rate(both[0], both[1:], higher) if both.size else math.nan
