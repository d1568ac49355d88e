"""A comparison of algorithms: its tables, and what it could not use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from fedlayers.core.errors import UserError
from fedlayers.core.quantities import Quantities
from fedlayers.core.spelling import in_brackets
from fedlayers.runs.quantities import quantities_of
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.views.comparison import contrasts, ranking, summaries
from fedlayers.views.comparison.arranging import ComparedRun, arranged
from fedlayers.views.comparison.lacking import lacks, listed, unlike
from fedlayers.views.comparison.scoring import EVALUATIONS, SCORES, Reported, scores
from fedlayers.views.comparison.tuning import chosen_by_validation


@dataclass(frozen=True)
class AlgorithmComparison:
    """What algorithms of one or several studies reached, and how sure it is which one is better.

    Attributes:
        runs: those that are compared.
        scores: of every client in every run: ``run, setting, algorithm, seed, client, metric, value``.
        beside: those of ``metric`` in every one of ``scoring.EVALUATIONS``, which a column ``evaluation`` names.
        quantities: how to read the metrics.
        metric: the one that texts and paper tables show; tables have all of ``SCORES``.
        baseline: the algorithm that differences are from.
        reported: which evaluation is compared.
        split: on which examples, ``test``, or ``val`` where no run has test examples.
        tried: what was chosen by validation, see :func:`fedlayers.views.comparison.tuning.chosen_by_validation`.
        client_names: setting -> the names of its clients by number.
        notes: sentences about what could not be used or concluded.
    """

    runs: tuple[ComparedRun, ...]
    scores: pd.DataFrame
    beside: pd.DataFrame
    quantities: Quantities
    metric: str
    baseline: str
    reported: Reported
    split: str
    tried: pd.DataFrame
    client_names: Mapping[str, Sequence[str]]
    notes: tuple[str, ...]

    @cached_property
    def of_runs(self) -> pd.DataFrame:
        """What is said of the clients of every run, see :func:`fedlayers.views.comparison.summaries.run_scores`."""
        return summaries.run_scores(self.scores, self.quantities)

    def has_same_values(self, setting: str) -> bool:
        """Say whether all algorithms in a setting have values of the same seeds and clients, by the shown metric."""
        return not unlike(self.scores[(self.scores["metric"] == self.metric) & (self.scores["setting"] == setting)])

    @cached_property
    def algorithms(self) -> pd.DataFrame:
        """A row for every setting, metric and algorithm, see ``summaries.algorithm_scores`` and ``with_others``."""
        found = summaries.algorithm_scores(self.scores, self.of_runs, self.quantities)
        return summaries.with_others(found, self.beside)

    @cached_property
    def clients(self) -> pd.DataFrame:
        """A row for every setting, metric, algorithm and client, see ``summaries.client_scores``."""
        found = summaries.client_scores(self.scores, self.quantities)
        names = [self._name(*place) for place in zip(found["setting"], found["client"], strict=True)]
        found.insert([*found].index("client") + 1, "client_name", names)
        return found

    def _name(self, setting: str, client: int) -> str:
        known = self.client_names.get(setting) or []
        return str(known[client]) if client < len(known) else str(client)

    @cached_property
    def differences(self) -> pd.DataFrame:
        """Paired differences from the baseline, see :func:`fedlayers.views.comparison.contrasts.differences`."""
        return contrasts.differences(self.scores, self.baseline)

    @cached_property
    def rankings(self) -> list[ranking.Ranking]:
        """Mean ranks and Friedman's test of every metric, over runs and over settings."""
        return ranking.rankings(self.scores, self.quantities)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return every table by name."""
        found = {
            "algorithms": self.algorithms,
            "clients": self.clients,
            "differences": self.differences,
            "tests": ranking.tests_table(self.rankings),
            "ranks": ranking.ranks_table(self.rankings),
            "pairs": ranking.pairs_table(self.rankings, self.baseline),
            "tried": self.tried,
        }
        return {name: table for name, table in found.items() if not table.empty}


def compared(
    records: Mapping[Path, pd.DataFrame], metric: str | None, baseline: str | None, reported: Reported
) -> AlgorithmComparison:
    """Return the comparison of some runs.

    Args:
        records: of complete runs, by folder, with at least the columns
            :data:`fedlayers.views.comparison.scoring.COLUMNS`.
        metric: None for the first of ``SCORES`` that was measured: accuracy, ``subset_accuracy`` of label sets.
        baseline: None for ``fedavg``, else ``local``, else the first algorithm by name.
        reported: which evaluation.

    Raises:
        UserError: nothing was evaluated on clients' examples, or there is no such metric or algorithm.
    """
    runs = list(records)
    quantities = quantities_of(runs)
    every = pd.concat([own.assign(run=str(run)) for run, own in records.items()], ignore_index=True)
    found = scores(every, (*SCORES, *filter(None, [metric])), reported)
    scope = next((name for name in reported.scopes if (found["scope"] == name).any()), None)
    if scope is None:
        raise _nothing(reported)
    different, twins = without_twins(arranged(runs))
    kept, tried, notes = chosen_by_validation(different, found)
    rows = _of_runs(found[found["scope"] == scope], kept)
    known = [name for name in dict.fromkeys((*SCORES, *rows["metric"])) if (rows["metric"] == name).any()]
    chosen = _metric(metric, known, quantities)
    names = {str(run): run_facts(run).get("client_names") or [] for run in runs}
    mine = tuple(run for run in kept if run.run in {*rows["run"]})
    base = _baseline(baseline, mine)
    return AlgorithmComparison(
        *(mine, rows, _beside(every, kept, chosen, reported, scope), quantities, chosen, base, reported),
        *(scope.rpartition("_")[2], tried),
        client_names={run.setting: names[run.run] for run in reversed(mine)},
        notes=(*twins, *notes, *lacks(kept, rows, chosen, scope, base), *_of_one_round(rows, chosen, reported)),
    )


def _of_one_round(rows: pd.DataFrame, metric: str, reported: Reported) -> list[str]:
    """Return a sentence if runs have scores of those clients only that one of their rounds has asked."""
    asked = rows[rows["metric"] == metric].groupby("run")["client"].nunique()
    facts = {run: run_facts(Path(str(run))) for run in asked.index}
    some = [run for run, own in facts.items() if asked[run] < (own.get("surveyed_clients") or own.get("clients") or 0)]
    if reported.clients != "trained" or not some or reported == Reported():
        return []
    return [
        f"{len(some)} of {len(asked)} runs have scores of the clients of that round only (fraction below 1), others in "
        "another round: those of the last round after aggregation are of all clients"
    ]


def _nothing(reported: Reported) -> UserError:
    who, also = (
        ("its clients", "") if reported.clients == "trained" else ("unseen clients", " and split.unseen_clients")
    )
    return UserError(
        f"none of the runs has scores of {who} ({reported}): compare needs metrics=[evaluation]{also}, "
        "and with round=best validation examples (split.val)"
    )


def _beside(
    every: pd.DataFrame, kept: Sequence[ComparedRun], metric: str, reported: Reported, scope: str
) -> pd.DataFrame:
    """Return the scores of every evaluation of the runs that are kept, with a column ``evaluation``."""
    split = reported.scopes.index(scope)
    frames = []
    for name, (moment, clients) in EVALUATIONS.items():
        asked = Reported(moment, reported.round, clients)
        found = scores(every, (metric,), asked)
        mine = found[(found["scope"] == asked.scopes[split]) & (found["metric"] == metric)]
        frames.append(_of_runs(mine, kept).assign(evaluation=name))
    return pd.concat(frames, ignore_index=True)


def _of_runs(found: pd.DataFrame, kept: Sequence[ComparedRun]) -> pd.DataFrame:
    """Return the scores of the runs that are kept, with where they stand."""
    places = pd.DataFrame([vars(run) for run in kept]).drop(columns="tried")
    return found.merge(places, on="run")[["run", "setting", "algorithm", "seed", "client", "metric", "value"]]


def _metric(asked: str | None, known: Sequence[str], quantities: Quantities) -> str:
    metric = asked or known[0]
    if metric not in known:
        raise UserError(
            f"no run has --metric {metric} of its clients{in_brackets(metric, known)}; there are {', '.join(known)}"
        )
    if quantities[metric].direction == "neutral":
        raise UserError(f"--metric must be one of which higher or lower values are better, got {metric}")
    return metric


def _baseline(asked: str | None, runs: Sequence[ComparedRun]) -> str:
    names = sorted({run.algorithm for run in runs})
    if asked is None:
        return next((name for name in (summaries.AVERAGE, summaries.ALONE) if name in names), names[0])
    if asked not in names:
        raise UserError(f"no run has --baseline {asked}{in_brackets(asked, names)}; there are {', '.join(names)}")
    return asked


def without_twins(runs: Sequence[ComparedRun]) -> tuple[list[ComparedRun], list[str]]:
    """Return the runs without those that differ from an earlier one in nothing that is compared, and that it is so."""
    found: dict[ComparedRun, ComparedRun] = {}
    for run in runs:
        found.setdefault(replace(run, run=""), run)
    kept = list(found.values())
    twins = [run.run for run in runs if run not in kept]
    told = f"{listed(twins)}: left out, for another run differs from it in nothing that decides how good a model gets"
    return kept, [told] if twins else []
