"""How many bytes travel until an accuracy is reached: of each algorithm, with intervals over seeds."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from fedlayers.statistics.geometric import geometric_interval
from fedlayers.views.run_groups import Setting

COLUMNS = ("setting", "algorithm", "accuracy", "bytes", "low", "high", "runs_reached", "runs")
# Accuracies that are asked for: every multiple of this one that a run has reached.
STEP = 0.05


def communication(records: pd.DataFrame, resources: pd.DataFrame, settings: Sequence[Setting]) -> pd.DataFrame:
    """Return the bytes of training, up and down, of all clients together, until their mean accuracy is reached.

    The accuracy is that of the clients' test examples after aggregation, a mean over clients; ``bytes`` is the
    geometric mean over the ``runs_reached`` of ``runs`` that reach it, ``low`` and ``high`` its 95 % t interval of the
    logarithms, missing of fewer than three. A round whose bytes were not measured, as with
    ``metrics.resources.rounds=[last]``, ends what is known of a run: what was sent by then lacks its part. Runs without
    ``metrics=[resources]`` in the first round are left out; without any others the table is empty.

    Args:
        records: of runs, those of scores among them.
        resources: of the same runs.
        settings: the groups of runs that differ in nothing but their seed.
    """
    sent = travelled(resources)
    reached = _accuracies(records)
    rows: list[tuple[object, ...]] = []
    for setting in settings:
        name = setting.name or str(setting.facts.get("dataset", ""))
        for group in setting.groups:
            runs = [run for run in group.runs if run in sent and run in reached]
            curves = [_cheapest(sent[run], reached[run]) for run in runs]
            best = max((accuracy for curve in curves for accuracy, _ in curve), default=0.0)
            for number in range(1, math.floor(best / STEP + 1e-9) + 1):
                target = round(number * STEP, 10)
                costs = [cost for curve in curves if (cost := _first(curve, target)) is not None]
                ends = geometric_interval(np.array(costs))
                rows.append((name, group.name, target, *ends, len(costs), len(runs)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def travelled(resources: pd.DataFrame) -> dict[str, pd.Series]:
    """Return run -> bytes up to and with each round before which none is missing, of runs that measured the first.

    Args:
        resources: of runs.
    """
    rows = resources[resources["metric"].isin(["bytes_sent", "bytes_received"])]
    rows = rows[(rows["moment"] == "after_local") & rows["layer"].isna() & rows["subject"].isna()]
    sums = rows.groupby(["run", "round"], observed=True)["value"].sum()
    by_run = {str(run): sums.loc[run].sort_index() for run in sums.index.get_level_values("run").unique()}
    found = {run: rounds.cumsum()[rounds.index == np.arange(1, len(rounds) + 1)] for run, rounds in by_run.items()}
    return {run: rounds for run, rounds in found.items() if len(rounds)}


def _accuracies(records: pd.DataFrame) -> dict[str, pd.Series]:
    """Return run -> mean accuracy over clients, by round."""
    chosen = {"metric": "accuracy", "scope": "client_test", "moment": "after_aggregate", "status": "ok"}
    rows = records
    for column, value in chosen.items():
        rows = rows[rows[column] == value]
    # Of clients with two models the one that is theirs counts.
    own = rows[rows["model"] == "personal"]
    with_own = set(own["run"])
    rows = pd.concat([own, rows[~rows["run"].isin(with_own)]])
    means = rows.groupby(["run", "round"], observed=True)["value"].mean()
    return {str(run): means.loc[run].sort_index() for run in means.index.get_level_values("run").unique()}


def _cheapest(travelled: pd.Series, accuracy: pd.Series) -> list[tuple[float, float]]:
    """Return accuracy and bytes of each round of which both are known."""
    rounds = travelled.index.intersection(accuracy.index)
    return [(float(accuracy[number]), float(travelled[number])) for number in rounds]


def _first(curve: Sequence[tuple[float, float]], target: float) -> float | None:
    return next((cost for accuracy, cost in curve if accuracy >= target - 1e-12), None)
