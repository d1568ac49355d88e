"""Bytes until an accuracy is reached, worked out by hand, of runs that reach it and runs that do not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import fedlayers
from fedlayers.commands.compare import main
from fedlayers.core.quantities import Quantities
from fedlayers.core.records import Record, Resource, addressed, to_table
from fedlayers.runs.reading.parts import to_pandas
from fedlayers.statistics.geometric import geometric_interval
from fedlayers.views.comparison.communication import communication
from fedlayers.views.run_groups import Group, Setting

ACCURACIES = {
    "a-0": [0.06, 0.11, 0.16],
    "a-1": [0.11, 0.12, 0.13],
    "a-2": [0.06, 0.07, 0.11],
    "b-0": [0.02, 0.03, 0.04],
}


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    records, resources = [], []
    for run, accuracies in ACCURACIES.items():
        for number, accuracy in enumerate(accuracies, 1):
            for client in (0, 1):
                where = {"run": run, "round": number, "client": client}
                row = Record("accuracy", accuracy + 0.01 * (2 * client - 1), scope="client_test", model="global")
                records += addressed([row], moment="after_aggregate", **where)
                sizes = [Resource("bytes_sent", 10.0, "bytes"), Resource("bytes_received", 5.0, "bytes")]
                by_layer = Resource("bytes_sent", 7.0, "bytes", layer="fc1")
                resources += addressed([*sizes, by_layer], moment="after_local", **where)
                resources += addressed([Resource("bytes_received", 99.0, "bytes")], moment="after_aggregate", **where)
    return to_pandas(to_table("records", records)), to_pandas(to_table("resources", resources))


def test_bytes_until_an_accuracy_are_summed_up_to_the_first_round_that_has_it() -> None:
    groups = (Group("a", ("a-0", "a-1", "a-2")), Group("b", ("b-0",)))
    found = communication(*tables(), [Setting("", {"dataset": "toy"}, Quantities(), groups)])
    assert set(found["algorithm"]) == {"a"}
    rows = found.set_index("accuracy")
    # A round of two clients is 30 bytes: the runs need 1, 2, 3 rounds, then 1, 1 and never, then 1, 3 and never.
    assert rows["bytes"].to_dict() == pytest.approx({0.05: 30, 0.1: (60 * 30 * 90) ** (1 / 3), 0.15: 90})
    assert rows["runs_reached"].to_dict() == {0.05: 3, 0.1: 3, 0.15: 1} and set(rows["runs"]) == {3}
    logs = np.log([60, 30, 90])
    half = 4.302653 * logs.std(ddof=1) / 3**0.5
    assert (rows.low[0.1], rows.high[0.1]) == pytest.approx(tuple(np.exp(logs.mean() + half * np.array([-1, 1]))))
    assert pd.isna(rows.low[0.15]) and set(rows["setting"]) == {"toy"}


def test_what_is_sent_in_rounds_that_were_not_measured_is_not_left_out_of_a_sum() -> None:
    records, resources = tables()
    measured = resources.groupby("run", observed=True)["round"]
    where = resources["run"].astype(str)
    # Of a-0 all rounds are known, of a-1 not the second, of a-2 not the first, of b-0 none.
    gaps = (
        ((where == "a-1") & (resources["round"] == 2))
        | ((where == "a-2") & (resources["round"] == 1))
        | (where == "b-0")
    )
    assert measured.nunique().eq(3).all()
    groups = (Group("a", ("a-0", "a-1", "a-2")), Group("b", ("b-0",)))
    found = communication(records, resources[~gaps], [Setting("", {"dataset": "toy"}, Quantities(), groups)])
    rows = found.set_index("accuracy")
    assert set(found["algorithm"]) == {"a"} and set(rows["runs"]) == {2}
    # The second run reaches 0.1 in its first round; what its third had cost nobody knows.
    assert rows["bytes"].to_dict() == pytest.approx({0.05: 30, 0.1: (60 * 30) ** 0.5, 0.15: 90})
    assert rows["runs_reached"].to_dict() == {0.05: 2, 0.1: 2, 0.15: 1}


@pytest.mark.parametrize("values", [[5.0], [5.0, 6.0], [0.0, 0.0, 0.0]])
def test_few_runs_and_runs_that_send_nothing_have_no_interval(values: list[float]) -> None:
    mean, *ends = geometric_interval(np.array(values))
    assert mean == pytest.approx(np.prod(values) ** (1 / len(values))) and np.isnan(ends).all()
    assert geometric_interval(np.array([1.0, 1e6, 2.0]))[1] > 0


def test_a_comparison_has_the_table_and_figure(
    quick_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for algorithm in ("fedavg", "local"):
        chosen = (f"algorithm={algorithm}", "metrics=[evaluation,resources]", "rounds=1", "training.epochs=5")
        quick_run(*chosen, folder=tmp_path)
    assert main([str(tmp_path / "main"), "--baseline", "local"]) == 0
    assert "lacks" not in capsys.readouterr().out
    folder = tmp_path / "main" / "comparison"
    assert (folder / "communication.png").exists()
    found = pd.read_csv(folder / "communication.csv")
    assert set(found["setting"]) == {"digits"}
    assert set(found["algorithm"]) == {"fedavg", "local"} and (found["bytes"][found["algorithm"] == "fedavg"] > 0).all()
    # The sum is that of the tables: the weights of the whole model, down and up, of every client.
    resources = fedlayers.read(tmp_path / "main").resources
    whole = resources[resources["layer"].isna() & resources["subject"].isna() & (resources["moment"] == "after_local")]
    for name, rows in found.groupby("algorithm"):
        own = whole[(whole["algorithm"] == name) & whole["metric"].isin(["bytes_sent", "bytes_received"])]
        assert set(rows["bytes"]) == {own["value"].sum()}


@pytest.mark.parametrize(
    "unmeasured",
    [("metrics=[evaluation]",), ("metrics=[evaluation,resources]", "metrics.resources.rounds=[2]")],
    ids=["never", "not from the first round on"],
)
def test_an_algorithm_whose_bytes_were_not_measured_is_told_and_not_in_the_table(
    quick_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], unmeasured: tuple[str, ...]
) -> None:
    for algorithm, metrics in (("fedavg", ("metrics=[evaluation,resources]",)), ("local", unmeasured)):
        quick_run(f"algorithm={algorithm}", *metrics, "rounds=2", "training.epochs=5", folder=tmp_path)
    assert main([str(tmp_path / "main"), "--baseline", "local"]) == 0
    assert (
        "communication lacks local: metrics=[resources] measures bytes, from the first round on\n"
        in capsys.readouterr().out
    )
    found = pd.read_csv(tmp_path / "main" / "comparison" / "communication.csv")
    assert set(found["algorithm"]) == {"fedavg"} and set(found["runs"]) == {1}
