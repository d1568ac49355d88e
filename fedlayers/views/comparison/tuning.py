"""What algorithms were tried with, and which of the values is compared: that with the lowest validation loss."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from fedlayers.views.comparison.arranging import ComparedRun
from fedlayers.views.comparison.scoring import CHOOSING

COLUMNS = ("setting", "algorithm", "tried", "seeds", "validation_loss", "chosen")


def chosen_by_validation(
    runs: Sequence[ComparedRun], scores: pd.DataFrame
) -> tuple[list[ComparedRun], pd.DataFrame, list[str]]:
    """Return the runs of what each algorithm does best with, by the loss on validation examples alone.

    The loss is that of the evaluation that is compared: mean over the clients and then over the seeds that all values
    were tried with. Test examples have no part in it.

    Args:
        runs: all.
        scores: see :func:`fedlayers.views.comparison.scoring.scores`.

    Returns:
        The runs that are compared; what was tried, a row each with columns ``COLUMNS``, empty if each algorithm was
        tried with one value; and sentences about what could not be chosen. Where there is no validation loss, or no
        seed that all values were tried with, the values are told apart as if they were algorithms.
    """
    is_choosing = (scores["metric"] == CHOOSING[0]) & (scores["scope"] == CHOOSING[1])
    losses = {str(run): own.set_index("client")["value"] for run, own in scores[is_choosing].groupby("run")}
    kept: list[ComparedRun] = []
    rows, notes = [], []
    for (setting, algorithm), trials in _trials(runs).items():
        every = [run for own in trials.values() for run in own]
        if len(trials) == 1:
            kept += every
            continue
        means = _means(trials, losses)
        if not means:
            kept += [replace(run, algorithm=f"{algorithm}, {run.tried}") for run in every]
            has = all(run.run in losses for run in every)
            lacks = "no seed that all were tried with, or no client," if has else "no validation loss"
            notes.append(f"{algorithm} was tried with {', '.join(trials)} and has {lacks} to choose by")
            continue
        best = min(means, key=lambda tried: means[tried])
        kept += trials[best]
        rows += [(setting, algorithm, tried, len(own), means[tried], tried == best) for tried, own in trials.items()]
    return kept, pd.DataFrame(rows, columns=list(COLUMNS)), notes


def _trials(runs: Sequence[ComparedRun]) -> dict[tuple[str, str], dict[str, list[ComparedRun]]]:
    """Return the runs of each setting and algorithm by what it was tried with."""
    found: dict[tuple[str, str], dict[str, list[ComparedRun]]] = {}
    for run in sorted(runs, key=lambda run: (run.setting, run.algorithm, _by_number(run.tried), run.seed)):
        found.setdefault((run.setting, run.algorithm), {}).setdefault(run.tried, []).append(run)
    return found


def _by_number(tried: str) -> tuple[float, str]:
    """Order trials by the number at their end."""
    try:
        return float(tried.rpartition("=")[2]), tried
    except ValueError:
        return 0.0, tried


def _means(trials: dict[str, list[ComparedRun]], losses: dict[str, "pd.Series[float]"]) -> dict[str, float]:
    """Return the mean validation loss of each trial over the seeds and clients of all, nothing if one has no loss."""
    of_trials = {
        tried: pd.concat({run.seed: losses[run.run] for run in own if run.run in losses} or {0: pd.Series(dtype=float)})
        for tried, own in trials.items()
    }
    table = pd.DataFrame(of_trials).dropna()
    means = table.groupby(level=0).mean().mean()
    return {tried: float(means[tried]) for tried in trials} if len(table) else {}
