"""How evenly clients are served, as a table of a run and of a study."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fedlayers
from fedlayers.execution.summary import summarise
from fedlayers.runs.folder import RunFolder
from fedlayers.statistics.fairness import fairness

Run = Callable[..., Path]


def rows(values: list[float], metric: str, **columns: str) -> pd.DataFrame:
    address: dict[str, Any] = {"round": 1, "moment": "final", "model": "global", "scope": "client_test", "status": "ok"}
    blank: dict[str, Any] = {"layer": None, "subject": None, "step": None, "metric": metric}
    return pd.DataFrame({"client": range(len(values)), "value": values}).assign(**{**blank, **address, **columns})


@pytest.mark.parametrize(("metric", "sign"), [("accuracy", 1), ("loss", -1)])
def test_the_worst_are_the_lowest_or_the_highest_as_the_quantity_is_read(metric: str, sign: int) -> None:
    values = np.random.default_rng(0).permutation(25) / 25
    found = fairness(rows(list(values), metric), {"accuracy": "higher", "loss": "lower"}).iloc[0]
    worst = np.sort(sign * values)[:3]
    assert found["clients"] == 25 and found["mean"] == pytest.approx(values.mean())
    assert found["variance"] == pytest.approx(values.var(ddof=1))
    assert found["worst_decile"] == pytest.approx(sign * worst.mean())
    assert found["worst"] == sign * worst[0] and found["worst_client"] == np.argmin(sign * values)


def test_of_equal_ones_the_first_is_the_worst_and_one_client_has_no_variance() -> None:
    equal = fairness(rows([0.5, 0.2, 0.2], "accuracy"), {"accuracy": "higher"}).iloc[0]
    alone = fairness(rows([0.5], "accuracy"), {"accuracy": "higher"}).iloc[0]
    assert equal["worst_client"] == 1 and np.isnan(alone["variance"]) and alone["worst_decile"] == 0.5


def test_missing_values_layers_and_quantities_without_a_better_and_a_worse_do_not_count() -> None:
    of_layer, missing = (rows([0.1, 0.2], "accuracy", **more) for more in ({"layer": "fc1"}, {"status": "missing"}))
    table = pd.concat([of_layer, missing, rows([1.0, 2.0], "norm"), rows([0.4, 0.6], "accuracy")])
    found = fairness(table, {"accuracy": "higher", "norm": "neutral"})
    assert found[["clients", "worst"]].to_numpy().tolist() == [[2.0, 0.4]]


def test_a_run_writes_it_and_says_which_round_was_chosen_by_validation_alone(quick_run: Run) -> None:
    words = ("partition=dirichlet", "metrics=[evaluation]", "engine=local", "clients=6", "split.unseen_clients=2")
    run, blind = quick_run(*words), quick_run(*words, "metrics.evaluation.splits=[val]", "server_test.rounds=[]")
    assert RunFolder(run).facts()["best"] == RunFolder(blind).facts()["best"]
    tables = fedlayers.read(run)
    written: Any = pd.read_parquet(run / "fairness.parquet")
    for name in ("clients", "mean", "variance", "worst_decile", "worst_client"):
        assert np.array_equal(written[name].to_numpy(float), tables.fairness[name].to_numpy(float), equal_nan=True)
    found = written[(written["metric"] == "accuracy") & (written["chosen"] != "")].set_index(["chosen", "scope"])
    assert set(found.index) == {
        (chosen, f"{who}_{split}") for chosen in ("best", "final") for who in ("client", "unseen")
        for split in ("val", "test")
    }  # fmt: skip
    records = tables.records.query("metric == 'accuracy' and moment == 'final' and scope == 'client_test'")
    last = found.loc[("final", "client_test")]
    assert last["variance"] == pytest.approx(records["value"].var()) and last["clients"] == 4
    assert last["worst"] == records["value"].min() and last["worst_client"] in set(records["client"])
    best = RunFolder(run).facts()["best"]["round"]
    assert set(written[written["chosen"] == "best"]["round"]) == {best}
    shown = summarise(run)
    assert f"{last['variance']:.4f}" in shown and f"{last['worst_decile']:.3f}" in shown
    assert "unseen clients, global" in shown and len(shown.splitlines()) <= 25


def test_of_a_study_it_has_the_columns_of_the_runs(quick_run: Run, tmp_path: Path) -> None:
    for seed in (0, 1):
        run = quick_run("engine=local", "rounds=1", f"seed={seed}", "metrics=[evaluation]", folder=tmp_path)
    found = fedlayers.read(run.parent, metric="loss", columns=["value"]).fairness
    assert set(found["metric"]) == {"loss"} and set(found["seed"]) == {0, 1} and set(found["algorithm"]) == {"fedavg"}
