"""split.unseen_clients: clients that never train, and on whom models are evaluated all the same."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import fedlayers
from fedlayers.core.errors import UserError
from fedlayers.core.records import UNSEEN
from fedlayers.data.partitioning.unseen import unseen_clients
from fedlayers.data.tabular import fill
from fedlayers.runs.folder import RunFolder

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
SMALL = ("clients=6", "partition=dirichlet", "metrics=[evaluation]", "engine=local")
WORDS = (*SMALL, "split.unseen_clients=2")
TUNED = (*WORDS, "algorithm=localadaptation", "fraction=0.5")
REASON = "the algorithm has no model for a client that never trained"


@pytest.fixture(scope="module")
def run(quick_run: Run) -> Path:
    return quick_run(*TUNED)


def new(run: Path) -> pd.DataFrame:
    records = fedlayers.read(run).records
    return records[records["scope"].isin(UNSEEN.values())]


def test_they_are_drawn_once_and_never_train(run: Path) -> None:
    unseen = unseen_clients(2, 6, seed=0)
    assert len(set(unseen)) == 2 and unseen == unseen_clients(2, 6, seed=0) == tuple(sorted(unseen))
    assert {unseen_clients(2, 6, seed) for seed in range(9)} > {unseen}
    records = fedlayers.read(run).records
    there = records[records["client"].notna()]
    of_new = there["client"].isin(unseen)
    assert set(there[of_new]["scope"]) == {"unseen_val", "unseen_test"}
    assert set(there[of_new]["moment"]) == {"start", "after_aggregate", "final"}
    assert not set(there[~of_new]["scope"]) & {*UNSEEN.values()}
    assert set(there[~of_new & (there["moment"] == "final")]["client"]) == {*range(6)} - {*unseen}
    opened = fedlayers.open(run)
    assert opened.facts["unseen_clients"] == list(unseen)
    mine = torch.cat([part.index for part in opened.data.splits["client_train"][:] if len(part)])
    theirs = torch.cat([opened.data.splits["client_train"][client].index for client in unseen])
    pooled = opened.data.pooled_train.index
    assert len(pooled) + len(theirs) == len(mine) and not set(pooled.tolist()) & set(theirs.tolist())
    everyone = sum(opened.data.class_counts(client) for client in opened.data.seen)
    assert torch.equal(opened.data.class_counts(None), torch.as_tensor(everyone))


def test_both_models_are_told_before_and_after_training_on_their_examples(run: Path) -> None:
    rows = new(run).query("metric == 'accuracy' and moment != 'start'")
    assert set(rows["model"]) == {"global", "personal"} and (rows["status"] == "ok").all()
    counts = rows.groupby(["round", "moment", "scope", "model"], observed=True)["client"].nunique()
    assert (counts == 2).all() and len(counts) == 3 * 2 * 2
    opened = fedlayers.open(run)
    model = opened.model(2).eval()
    for client in unseen_clients(2, 6, seed=0):
        features, labels = opened.data.splits["client_test"][client].batch(
            torch.arange(len(opened.data.splits["client_test"][client]))
        )
        right = (model(features).argmax(1) == labels).double().mean()
        found = rows.query(f"client == {client} and scope == 'unseen_test' and model == 'global' and moment == 'final'")
        assert found["value"].tolist() == pytest.approx([float(right)])


@pytest.mark.parametrize(
    ("algorithm", "model", "reason"),
    [
        ("cfl", "global", None),
        ("ifca", "personal", None),
        ("fedrep", "personal", None),
        ("local", "personal", REASON),
        ("fedper", "personal", REASON),
    ],
)
def test_what_they_measure_is_what_the_algorithm_has_for_somebody_new(
    quick_run: Run, algorithm: str, model: str, reason: str | None
) -> None:
    rows = new(quick_run(*WORDS, f"algorithm={algorithm}", "rounds=1")).query("metric == 'loss' and moment == 'final'")
    assert set(rows["model"]) == {model} and len(rows) == 4
    assert set(rows["reason"].dropna()) == ({reason} if reason else set())
    assert (rows["status"] == ("missing" if reason else "ok")).all()


def test_the_others_do_as_if_they_were_not_there(quick_run: Run) -> None:
    words = ("partition=iid", "algorithm=fedavg", "clients=4", "metrics=[evaluation]", "engine=local")
    run = quick_run(*words, "split.unseen_clients=1", "split.val=0", "split.train=0.9")
    (one,) = unseen_clients(1, 4, seed=0)
    trained = fedlayers.read(run).records.query("metric == 'training_loss'")["client"]
    assert set(trained) == {0, 1, 2, 3} - {one}
    told = new(run).query("metric == 'loss'").set_index("scope")["reason"]
    assert set(told["unseen_val"]) == {"no examples in unseen_val"} and told["unseen_test"].isna().all()
    assert RunFolder(run).facts()["best"] is None


def test_a_stopped_run_goes_on_with_the_same(quick_run: Run, tables: Tables, tmp_path: Path, run: Path) -> None:
    quick_run(*TUNED, "rounds=1", folder=tmp_path)
    longer = quick_run(*TUNED, folder=tmp_path)
    assert tables(longer)["records/round=000002.parquet"] == tables(run)["records/round=000002.parquet"]


def test_what_the_server_fills_in_is_not_of_them() -> None:
    rows = np.array([[1.0], [3.0], [100.0], [np.nan]])
    splits = {"client_train": [np.array([0, 1]), np.array([2])]}
    filled = fill(rows, splits, np.array([3]), (), (), unseen=[1])
    assert filled.pooled[3] == 2.0 and (rows[:2] * filled.scale[-1] + filled.shift[-1]).mean() == pytest.approx(0)


def test_more_than_there_are_is_refused(quick_run: Run) -> None:
    with pytest.raises(UserError, match=r"split\.unseen_clients must be at most 5: one or more of the 6 clients"):
        quick_run(*SMALL, "split.unseen_clients=6")
    with pytest.raises(UserError, match=r"split\.unseen_clients must be 0 or more, got -1"):
        quick_run(*SMALL, "split.unseen_clients=-1")
    with pytest.raises(UserError, match=r"surveyed_clients must be at most 4, the number of clients that train, got 5"):
        quick_run(*WORDS, "surveyed_clients=5")
