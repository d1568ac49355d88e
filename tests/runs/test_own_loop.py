"""A training loop of one's own leaves a folder that opens, draws, reports and aggregates like a run."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import fedlayers
from fedlayers.commands import plot
from fedlayers.core.errors import UserError
from fedlayers.core.layers import layers_of
from fedlayers.core.records import Pair, Record, Resource, Row, Spectrum
from fedlayers.figures.available import figures_of
from fedlayers.models.mlp import MLP
from fedlayers.report.page import write_report
from fedlayers.runs.lock import lock
from fedlayers.runs.own_loop import Writer
from fedlayers.studies.aggregate import aggregate
from fedlayers.studies.status import study_status
from tests.support.quantities import KNOWN
from tests.support.saved_pages import SavedPage

FACTS = fedlayers.Facts("gap", "kB", 0.0, 100.0, "lower", "own definition")
QUANTITIES = [FACTS, KNOWN["accuracy"], KNOWN["loss"], KNOWN["cka"]]
LAYERS = layers_of(MLP((4,), 3, [5]))


def rows_of(number: int) -> list[Row]:
    """Return what two clients measure in a round of two layers."""
    found: list[Row] = [Resource("train_s", 0.1, "s", client=client) for client in (0, 1)]
    for client in (0, 1):
        found += [Record("gap", 10.0 * client + number, layer=layer.name, client=client) for layer in LAYERS]
        found += [Record("accuracy", 0.1 * number + client / 100, scope="client_test", client=client, n=50)]
        found += [Spectrum("curve", [0.0, 1.0], [1.0, number], client=client, layer="fc1")]
    found += [
        Pair("cka", 0.9, client=0, other=1, subject="clients", layer=layer.name, other_layer=layer.name)
        for layer in LAYERS
    ]
    return found


def track(run: Path, rounds: int = 3, **told: object) -> Path:
    with Writer(run, quantities=QUANTITIES, layers=LAYERS, dataset="mine", algorithm="sgd", **told) as writer:
        for number in range(1, rounds + 1):
            writer.add(*rows_of(number))
            writer.end_round()
    return run


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "mine"
    for seed in (0, 1):
        track(folder / f"run-{seed}", seed=seed)
    return folder


def test_its_tables_are_read_like_those_of_a_run(study: Path) -> None:
    opened = fedlayers.open(study / "run-0")
    assert opened.facts["status"] == "complete" and opened.facts["rounds"] == 3
    found = opened.records(metric="gap", rounds=2, client=1)
    assert found["value"].tolist() == [12.0, 12.0] and found["layer_index"].tolist() == [0, 1]
    assert set(found["run"]) == {"run-0"} and set(found["owner"]) == {"client"} and set(found["model"]) == {"personal"}
    assert set(found["moment"]) == {"after_local"}
    assert len(opened.pairs()) == 6 and len(opened.spectra()) == 6 and set(opened.resources()["unit"]) == {"s"}
    assert opened.quantities["gap"] == FACTS and opened.partition.empty
    with pytest.raises(UserError, match=r"has no config.yaml, as a training loop of one's own has none"):
        _ = opened.data
    with pytest.raises(UserError, match="it has kept none; a training loop of one's own saves its models itself"):
        opened.model()


def test_it_is_drawn_reported_aggregated_and_listed(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = study / "run-0"
    drawings = {drawing.name: drawing for drawing in figures_of(run)}
    figure = drawings["layer_profile_gap"].make()
    assert figure is not None and figure.axes[0].get_ylabel() == "gap (kB)"
    assert {"learning_curves", "clients_cka", "layer_overview"} <= drawings.keys()
    for drawing in drawings.values():
        assert drawing.make() is not None
    assert plot.main([str(study), "--list"]) == 0 and "layer_profile_gap" in capsys.readouterr().out
    assert "gap (kB)" in str(SavedPage(write_report(run)).answers)
    report = aggregate(study)
    assert report.complete == ("run-0", "run-1") and report.table is not None
    assert set(fedlayers.read(report.table, metric="gap", seed=1).records["algorithm"]) == {"sgd"}
    assert {(one.run, one.state) for one in study_status(study)} == {("run-0", "done"), ("run-1", "done")}


def test_damage_is_told(tmp_path: Path) -> None:
    run = track(tmp_path / "mine" / "run")
    part = run / "records" / "round=000002.parquet"
    part.write_bytes(part.read_bytes()[:-9] + b"x" * 9)
    with pytest.raises(UserError, match=r"round=000002.parquet has another content than was written"):
        _ = fedlayers.read(run).records
    part.unlink()
    [one] = study_status(run.parent)
    assert one.state == "failed" and "round=000002.parquet is missing" in one.detail
    with pytest.raises(UserError, match=r"round=000002.parquet is missing"):
        _ = fedlayers.read(run, rounds=2).records


def test_a_round_counts_when_it_has_ended(tmp_path: Path) -> None:
    run = tmp_path / "mine" / "run"
    with pytest.raises(RuntimeError), Writer(run, rounds=9) as writer:
        writer.add(Record("gap", 1.0))
        writer.end_round(0)
        writer.add(Record("gap", 2.0))
        assert fedlayers.read(run).records["value"].tolist() == [1.0]
        assert [(one.state, one.detail.split(",")[0]) for one in study_status(run.parent)] == [
            ("running", "round 0 of 9")
        ]
        raise RuntimeError("the loop broke")
    facts = fedlayers.open(run).facts
    assert (facts["status"], facts["round"]) == ("failed", 0) and "the loop broke" in facts["reason"]
    assert fedlayers.read(run).records["value"].tolist() == [1.0] and not (run / "done.json").exists()
    stopped = tmp_path / "mine" / "stopped"
    with pytest.raises(KeyboardInterrupt), Writer(stopped):
        raise KeyboardInterrupt
    assert json.loads((stopped / "run.json").read_text())["status"] == "stopped"


def test_what_is_left_at_the_end_is_a_round(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "run", layers=["fc1"])
    writer.add(Record("gap", 1.0, layer="fc1"), Record("gap", 2.0, layer="free", layer_index=7))
    writer.close()
    found = fedlayers.read(tmp_path / "run").records
    assert found["round"].tolist() == [1, 1] and found["layer_index"].tolist() == [0, 7]


def test_mistakes_are_told(tmp_path: Path) -> None:
    run = track(tmp_path / "s" / "run", rounds=1)
    with pytest.raises(UserError, match=r"holds a run already: give a folder of its own, such as results/mine/run-2"):
        Writer(run)
    with pytest.raises(UserError, match=r"Writer can be told dataset, partition, .*client_names, got colour"):
        Writer(tmp_path / "other", colour="red")
    with pytest.raises(UserError, match=r"seed must be of type int, got 'one'"):
        Writer(tmp_path / "other", seed="one")
    assert not (tmp_path / "other").exists()
    (tmp_path / "held").mkdir()
    with lock(tmp_path / "held"), pytest.raises(UserError, match=r"is being written by another process \(.*\): give a"):
        Writer(tmp_path / "held")
    with Writer(tmp_path / "new", layers=["fc1"]) as writer:
        with pytest.raises(UserError, match=r"add takes Record, Pair, Spectrum and Resource, got float"):
            writer.add(1.0)  # type: ignore[arg-type]
        with pytest.raises(UserError, match=r"moment of a row must be one of start, .*, got 'later'"):
            writer.add(Record("gap", 1.0, moment="later"))
        with pytest.raises(UserError, match=r"layer of a row must be one of layers=fc1, or come with layer_index"):
            writer.add(Record("gap", 1.0, layer="fc2"))
        writer.end_round(4)
        with pytest.raises(UserError, match=r"number of the round must be 5 or more, got 4"):
            writer.end_round(4)
        writer.add(Record("gap", 1.0, round=9))
        with pytest.raises(UserError, match=r"round of a row must be 5, the round that ends, or None, got 9"):
            writer.end_round()
        writer.end_round(9)


def test_a_value_that_is_not_finite_is_missing_and_one_that_is_no_number_told_at_once(tmp_path: Path) -> None:
    with fedlayers.Writer(tmp_path / "s" / "r") as writer:
        for place, value in enumerate((1.5, math.nan, math.inf, None, np.float32(2.0))):
            writer.add(fedlayers.Record("gap", value, client=place))  # type: ignore[arg-type]
        for wrong in ("1", True, [1.0]):
            with pytest.raises(fedlayers.UserError, match="value of gap must be a number, or None"):
                writer.add(fedlayers.Record("gap", wrong))  # type: ignore[arg-type]
    records = fedlayers.read(tmp_path / "s").records
    assert records["status"].tolist() == ["ok", "missing", "missing", "missing", "ok"]
    assert records["value"].dropna().tolist() == [1.5, 2.0]
    assert records["reason"].tolist()[1:4] == ["the value is not finite"] * 3
