"""With rounds that ask some of the clients, the best round's model is evaluated by all of them at the end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import fedlayers
from fedlayers.execution.summary import summarise
from fedlayers.export.trackers.values import values_of
from fedlayers.runs.folder import RunFolder
from fedlayers.views.comparison.scoring import COLUMNS, Reported, scores
from fedlayers.views.curves import over_rounds

Run = Callable[..., Path]
# Steps so long that the second round's model is worse than the first one's.
SIX = ("clients=6", "partition=iid", "metrics=[evaluation]", "engine=local", "training.lr=30")
SMALL = (*SIX, "fraction=0.5")
ADDRESS = ["client", "metric", "scope"]


@pytest.fixture(scope="module")
def run(quick_run: Run) -> Path:
    return quick_run(*SMALL, "rounds=2", "split.unseen_clients=1")


def at(records: pd.DataFrame, moment: str) -> pd.Series:
    mine = records[(records["moment"] == moment) & records["scope"].isin(["client_val", "client_test"])]
    return mine.set_index(ADDRESS)["value"].sort_index()


def test_it_is_what_all_clients_have_in_a_run_that_ends_with_that_round(run: Path, quick_run: Run) -> None:
    records = fedlayers.read(run).records
    assert RunFolder(run).facts()["best"]["round"] == 1
    assert set(records.loc[records["moment"] == "best", "round"]) == {1}
    shorter = fedlayers.read(quick_run(*SMALL, "rounds=1", "split.unseen_clients=1")).records
    own = at(records, "best")
    assert own.index.get_level_values("client").nunique() == 6 - 1
    pd.testing.assert_series_equal(own, at(shorter, "final"))
    asked = at(records[records["round"] == 1], "after_aggregate")
    assert len(asked) < len(own) and own.reindex(asked.index).equals(asked)


def test_tables_report_it_as_the_best_one(run: Path) -> None:
    tables = fedlayers.read(run)
    chosen = tables.fairness[tables.fairness["metric"].eq("accuracy")].set_index(["chosen", "scope"]).sort_index()
    assert list(chosen.loc["best"].index) == ["client_test", "client_val", "unseen_test", "unseen_val"]
    assert chosen.loc[("best", "client_test"), "clients"] == 5
    assert chosen.loc[("best", "unseen_test"), "moment"] == "after_aggregate"
    own = at(tables.records, "best").xs("accuracy", level="metric").xs("client_test", level="scope")
    assert f"{own.mean():.3f} ± {own.std():.3f}" in summarise(run)
    assert "clients after aggregation: first 2, best 5, last 2, final 5" in summarise(run)
    records = tables.records.assign(run="a")[list(COLUMNS)]
    for clients, scope in (("trained", "client_test"), ("unseen", "unseen_test")):
        found = scores(records, ("accuracy",), Reported("after_aggregate", "best", clients))
        mine = found[(found["scope"] == scope) & (found["metric"] == "accuracy")]
        assert set(mine["round"]) == {1} and len(mine) == (5 if clients == "trained" else 1)


def test_parts_are_read_whichever_rows_are_asked_for(run: Path) -> None:
    def found(column: str, **asked: Any) -> set[object]:
        return set(fedlayers.read(run, **asked).records[column])

    assert found("moment", rounds=1) == {"after_local", "after_aggregate", "best"}
    assert found("round", moment="best") == {1} and found("round", moment="final") == {2}


@pytest.mark.parametrize("words", [SIX, (*SMALL, "algorithm=localadaptation")], ids=["all asked", "own models"])
def test_there_is_none_where_all_are_asked_or_clients_have_models_of_their_own(
    quick_run: Run, words: tuple[str, ...]
) -> None:
    run = quick_run(*words)
    assert "best" not in set(fedlayers.read(run).records["moment"])
    assert ("final has " in summarise(run)) == (words != SIX)


def test_curves_and_trackers_leave_it_out(run: Path) -> None:
    records = fedlayers.read(run).records
    assert set(over_rounds(records, "balanced_accuracy", None)["at"]) == {"start", "after_local", "after_aggregate"}
    own = values_of(fedlayers.open(run), 1, is_final=False, clients=False).scalars
    assert own and not any("/best/" in name for name in own)
