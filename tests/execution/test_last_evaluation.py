"""The end of a run: what the last round measured on the same models is taken over, the rest is measured."""

from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from flwr.app import ConfigRecord

from clients.fedavg import FedAvgClient
from fedlayers import read
from fedlayers.execution.earlier_rows.last_evaluation import LastEvaluation
from fedlayers.flower.adapter import records_of
from metrics.class_performance.federated import ClassPerformance
from metrics.evaluation import Evaluation

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
SOME = ("clients=6", "fraction=0.5", "metrics=[evaluation]", "examples_per_client=30", "engine=local")


def measured(run: Path, moment: str = "final") -> set[int]:
    """Return who spent time on evaluating at a moment; -1 is the server."""
    spent = read(run).resources.query("metric == 'measure_evaluation' and moment == @moment")
    if moment == "after_aggregate":
        spent = spent[spent["round"] == spent["round"].max()]
    return set(spent["client"].fillna(-1).astype(int))


@pytest.fixture(scope="module")
def taken_over(quick_run: Run) -> Path:
    return quick_run(*SOME)


def test_who_was_measured_in_the_last_round_is_not_measured_again(taken_over: Path) -> None:
    last = measured(taken_over, "after_aggregate")
    assert len(last) == 4 and measured(taken_over) == set(range(6)) - last
    final = read(taken_over).records.query("moment == 'final'")
    assert set(final["client"].dropna()) == set(range(6)) and "server_test" in set(final["scope"])


@pytest.mark.parametrize("algorithm", ["local", "ifca"])
def test_the_numbers_are_those_of_measuring_again(quick_run: Run, tables: Tables, algorithm: str) -> None:
    run = quick_run(*SOME, f"algorithm={algorithm}")
    with mock.patch.object(Evaluation, "repeats", False):
        again = quick_run(*SOME, f"algorithm={algorithm}")
    assert len(measured(again)) > len(measured(run))
    assert tables(again) == tables(run)


def test_what_the_server_compares_is_taken_over_with_all_clients_or_not_at_all(quick_run: Run, tables: Tables) -> None:
    classes = "metrics=[evaluation,classes]"
    everybody = ("clients=3", "fraction=1", classes, *SOME[3:])
    some = (*SOME[:2], classes, *SOME[3:])
    for words, asked in ((everybody, set()), (some, set(range(6)))):
        run = quick_run(*words)
        assert measured(run) == asked
        with mock.patch.object(ClassPerformance, "repeats", False):
            again = quick_run(*words)
        assert measured(again) == asked | {-1} | set(range(3))
        assert tables(again) == tables(run)


def test_more_rounds_end_with_rows_of_their_own(taken_over: Path, quick_run: Run, tables: Tables) -> None:
    undisturbed = quick_run(*SOME, "rounds=3")
    assert tables(quick_run(*SOME, "rounds=3", folder=taken_over.parents[1])) == tables(undisturbed)


def test_a_run_that_lost_only_its_end_measures_it(quick_run: Run, tables: Tables) -> None:
    run = quick_run(*SOME)
    before = tables(run)
    (run / "done.json").unlink()
    for part in run.glob("*/final.parquet"):
        part.unlink()
    assert tables(quick_run(*SOME, folder=run.parents[1])) == before
    assert measured(run) == {-1, *range(6)}


@pytest.mark.parametrize(
    "more",
    [
        ("metrics=[evaluation,weights]", "metrics.weights.moments=[after_local,final]"),  # compares clients then
        ("metrics.evaluation.rounds=[1]",),  # not in the last round
    ],
    ids=["compares", "other rounds"],
)
def test_what_the_last_round_did_not_measure_is_measured(quick_run: Run, more: tuple[str, ...]) -> None:
    run = quick_run(*SOME, *more) if "metrics=" not in more[0] else quick_run(*(*SOME[:2], *SOME[3:]), *more)
    assert measured(run) == {-1, *range(6)}


def test_a_client_that_does_not_repeat_itself_is_asked_again_and_the_server_is_not(quick_run: Run) -> None:
    with mock.patch.object(FedAvgClient, "repeats", False):
        assert measured(quick_run(*SOME)) == set(range(6))


def test_another_model_than_in_the_last_round_is_measured(quick_run: Run) -> None:
    seen: list[set[int]] = []
    covers = LastEvaluation.covers

    def other(self: LastEvaluation, messages: list[object], **whole: bool) -> set[int]:
        first = min(client for client in self.sent if client in self.phase.clients)
        content = self.sent[first].copy()
        content["config"] = ConfigRecord({**records_of(content, ConfigRecord)["config"], "temperature": 2.0})
        changed = LastEvaluation({**self.sent, first: content}, self.phase)
        seen.append({first})
        return covers(changed, messages, **whole)  # type: ignore[arg-type]

    with mock.patch.object(LastEvaluation, "covers", other):
        run = quick_run(*SOME)
    last = measured(run, "after_aggregate")
    assert measured(run) == (set(range(6)) - last) | seen[0]


def test_quantities_that_are_not_due_at_the_end_stay_out(quick_run: Run) -> None:
    run = quick_run(*SOME[:2], *SOME[3:], "metrics=[evaluation,weights]", "metrics.weights.moments=[after_aggregate]")
    records = read(run).records
    by_moment = {str(moment): set(rows["metric"]) for moment, rows in records.groupby("moment", observed=True)}
    assert "mean_abs_weight" in by_moment["after_aggregate"] and "mean_abs_weight" not in by_moment["final"]
    assert len(measured(run)) == 3
