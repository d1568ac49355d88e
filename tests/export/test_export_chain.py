"""A run in the files of the chain of metric predictors is what its tools demand, all of it or nothing."""

import json
import re
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

import fedlayers
from fedlayers.commands.export import main
from fedlayers.commands.main import main as main_command
from fedlayers.core.errors import UserError
from fedlayers.export.chain import chain_export, plots
from fedlayers.export.chain.chain_export import ChainExport
from fedlayers.export.chain.log_lines import QUANTITIES
from fedlayers.export.chain.weights import in_their_names
from fedlayers.export.exporter import Exporter, exporters
from fedlayers.figures.draw import draw
from fedlayers.figures.drawing.drawable import Drawing
from tests.support.chain_log import problems
from tests.support.chain_reader import TABLE, TheirRun

FILES = {
    "params.yaml", "log.jsonl", "best.pt", "last.pt", "test_results.json", "confusion.npy", "class_report.json",
    "basic_training_curves.png", "confusion_matrix.png", "confusion_matrix_normalized.png",
}  # fmt: skip
WORDS = (
    "engine=local", "algorithm=centralized", "model.hidden=[16,16]", "metrics=[evaluation,representation]", "rounds=3",
    "metrics.evaluation.splits=[train,val,test]", "training.lr=0.2", "training.warmup=1",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def undrawn() -> Iterator[pytest.MonkeyPatch]:
    """Leave a file of each plot's name instead of a picture: drawing takes most of the time, and is tested once."""

    def draw(figures: list[Drawing], folder: Path, formats: tuple[str, ...]) -> None:
        for figure in figures:
            (folder / f"{figure.name}.{formats[0]}").touch()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "draw", draw)
        yield patch


@pytest.fixture(scope="module")
def run(quick_run: Callable[..., Path]) -> Path:
    return quick_run(*WORDS)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A greedy chain, read out at every stage, and what is written of it."""
    folder = tmp_path_factory.mktemp("chain")
    words = ["clients=2", "rounds=1", "examples_per_client=60", "engine=local", "figures=false", "progress=none"]
    words += ["model=greedy_mlp", "model.width=16", "model.layers=2", "metrics=[evaluation,readout]", "probe.size=60"]
    run = fedlayers.run([*words, "metrics.readout.permutations=0", f"results_dir={folder}/results"]).path
    return run, ChainExport(str(folder / "runs")).write(fedlayers.open(run)).folder


@pytest.fixture(scope="module")
def written(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = ChainExport(str(tmp_path_factory.mktemp("runs"))).write(fedlayers.open(run))
    assert found.notes == ()
    return found.folder


def entries(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_all_files_are_there_and_nothing_else(written: Path) -> None:
    assert re.fullmatch(r"0001_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", written.name)
    assert written.parent.parts[-2:] == ("digits", "mlp")
    assert {file.name for file in written.iterdir()} >= FILES
    assert {file.suffix for file in written.iterdir()} == {".yaml", ".jsonl", ".pt", ".json", ".npy", ".png"}
    assert [folder.name for folder in written.parent.iterdir()] == [written.name]


def test_the_log_is_what_the_validator_demands(written: Path) -> None:
    assert list(problems((written / "log.jsonl").read_text())) == []
    assert [(line["phase"], line["epoch"]) for line in entries(written)] == [
        (phase, epoch) for epoch in (1, 2, 3) for phase in ("train", "val")
    ]


def test_the_validator_here_finds_what_is_wrong() -> None:
    good: dict[str, Any] = {"phase": "val", "epoch": 1, "iter": 0, "acc": 0.5}
    assert list(problems(json.dumps(good))) == []
    for bad in ({"loss": 1.0}, {"iter": 1}, {"acc": None}, {"epoch": 0}, {"metrics": {"layer_0": {"margin": "1"}}}):
        assert list(problems(json.dumps({**good, **bad}))), bad
    with pytest.raises(ValueError, match="NaN is no JSON"):
        list(problems('{"phase": "val", "epoch": 1, "iter": 0, "acc": NaN}'))


def test_the_numbers_are_the_runs(run: Path, written: Path) -> None:
    opened = fedlayers.open(run)
    loss = opened.records(metric="training_loss").set_index("round")["value"]
    accuracy = opened.records(metric="accuracy", scope="client_train", moment="after_local").set_index("round")["value"]
    train = [line for line in entries(written) if line["phase"] == "train"]
    assert [line["loss"] for line in train] == pytest.approx([loss[number] for number in (1, 2, 3)])
    assert [line["acc"] for line in train] == pytest.approx([accuracy[number] for number in (1, 2, 3)])
    examples = int(opened.partition.query("scope == 'client_train'")["examples"].sum())
    steps = -(-examples // 16)
    assert [(line["iter"], line["step"]) for line in train] == [(steps, steps * number) for number in (1, 2, 3)]
    last = entries(written)[-1]["metrics"]
    probe = opened.records(metric="probe_accuracy", owner="server", round=3, moment="after_aggregate")
    assert [last[f"layer_{layer}"]["probe_accuracy"] for layer in range(3)] == probe.sort_values("layer_index")[
        "value"
    ].tolist()
    assert {name for values in last.values() for name in values} <= set(QUANTITIES.values())
    times = [line["timestamp"] for line in entries(written)]
    assert times == sorted(times)


def test_parameters_are_theirs(written: Path) -> None:
    told = yaml.safe_load((written / "params.yaml").read_text())
    expected = {"dataset": "digits", "model": "mlp", "N": 16, "layers": 2, "batch_size": 16, "epochs": 3, "lr": 0.2}
    expected |= {"num_classes": 10, "input_dim": 64, "seed": 0, "scheduler": "constant", "warmup_ratio": 1 / 3}
    assert expected.items() <= told.items()
    assert told["fedlayers"]["algorithm"] == "centralized"


@pytest.mark.parametrize("name", ["best", "last"])
def test_a_checkpoint_is_their_model(run: Path, written: Path, name: str) -> None:
    found = torch.load(written / f"{name}.pt", weights_only=True)
    assert found["cfg"] == yaml.safe_load((written / "params.yaml").read_text())
    backbone = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
    theirs = nn.Sequential(OrderedDict(backbone=backbone, head=nn.Linear(16, 10)))
    theirs.load_state_dict(found["model"])
    opened = fedlayers.open(run)
    features, _ = opened.data.server_test.batch(torch.arange(50))
    ours = opened.model("best" if name == "best" else 3)(features)
    assert torch.allclose(theirs(features.flatten(1)), ours)


def test_the_test_is_of_the_best_model(run: Path, written: Path) -> None:
    results = json.loads((written / "test_results.json").read_text())
    counts = np.load(written / "confusion.npy")
    report = json.loads((written / "class_report.json").read_text())
    assert results["acc"] == pytest.approx(np.trace(counts) / 270) == pytest.approx(report["accuracy"])
    assert [report[str(label)]["support"] for label in range(10)] == counts.sum(1).tolist()


def test_a_greedy_chain_has_their_names_twice() -> None:
    weights = {"fc1.weight": torch.zeros(3, 4), "fc1.bias": torch.zeros(3), "fc2.weight": torch.ones(3, 3)}
    more = {"fc1.skip.weight": torch.zeros(3, 4), "anchors1.vectors": torch.zeros(10, 3)}
    found = in_their_names({**weights, **more}, {"model": "greedy", "layers": 2})
    assert list(found) == [
        "net.0.weight", "linears.0.weight", "net.0.bias", "linears.0.bias", "net.2.weight", "linears.1.weight",
        "residuals.0.weight",
    ]  # fmt: skip
    assert in_their_names(weights, {"model": "cnn"}).keys() == weights.keys()


def test_a_chain_is_theirs(chain: tuple[Path, Path]) -> None:
    run, folder = chain
    assert folder.parent.parts[-2:] == ("digits", "greedy")
    told = yaml.safe_load((folder / "params.yaml").read_text())
    assert {"model": "greedy", "N": 16, "layers": 2, "similarity": "cosine", "tau": 0.1}.items() <= told.items()
    assert (told["lambda_ace"], told["ace_variant"]) == (0.1, "js")
    results = json.loads((folder / "test_results.json").read_text())
    assert results["acc_last"] == results["acc_layers"][1] and len(results["acc_layers"]) == 2
    assert list(problems((folder / "log.jsonl").read_text())) == []
    train, val = entries(folder)
    # Units that do not vary have no entropy.
    known = set(QUANTITIES.values()) - {"gaussian_entropy"}
    assert val["metrics"]["layer_0"].keys() - {"gaussian_entropy"} == known - {"linear_cka"}
    absent = {name for name in known if name.startswith(("ace_", "ridge"))}
    assert val["metrics"]["layer_1"].keys() - {"gaussian_entropy"} == known - absent
    opened = fedlayers.open(run)
    rows = opened.records(metric="anchor_accuracy", moment="after_local", layer="fc2")["value"]
    assert train["metrics"]["layer_1"]["accuracy"] == pytest.approx(rows.mean())
    weights = torch.load(folder / "last.pt", weights_only=True)["model"]
    assert torch.equal(weights["linears.1.weight"], opened.weights(1)["fc2.weight"])
    names = {"heatmap_margin_val.png", "layer_profile_f1_score_val.png", "research_questions.png"}
    assert names <= {file.name for file in folder.iterdir()}


def test_code_that_reads_their_runs_reads_ours(written: Path, chain: tuple[Path, Path]) -> None:
    """As curves, heat maps, comparisons of architectures and evaluations are made of them."""
    mlp, greedy = TheirRun(written), TheirRun(chain[1])
    assert [own.config["model"] for own in (mlp, greedy)] == ["mlp", "greedy"]
    for own, epochs in ((mlp, 3), (greedy, 1)):
        assert own.curve("train", "loss").dropna().index.tolist() == list(range(1, epochs + 1))
        assert own.curve("val", "acc").between(0, 1).all() and len(own.curve("val", "acc")) == epochs
        accuracy, confusion, report = own.test()
        assert accuracy == pytest.approx(np.trace(confusion) / confusion.sum()) == pytest.approx(report["accuracy"])
        assert own.weights("best")[0].shape == own.weights("last")[0].shape == (16, 64)
    # All of their table; the last layer has no next one, the first none before it, and a dead unit no entropy.
    absent = dict.fromkeys(("ace_regularizer", "linear_cka", "ridge_r2"), 1)
    for name in set(TABLE) - {"gaussian_entropy"}:
        for phase in ("train", "val"):
            assert len(greedy.last_values(name, phase)) == 2 - absent.get(name, 0), name


def test_a_run_is_written_once(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(run), "--to", "chain", "--out", str(tmp_path / "runs")]
    assert main(words) == 0
    folder = Path(capsys.readouterr().out.strip())
    assert folder.parent == tmp_path / "runs" / "digits" / "mlp"
    assert main(words) == 1
    told = capsys.readouterr().err
    assert told == f"{folder} exists already and holds {run}: delete it, or export into another folder\n"
    assert len(list(folder.parent.iterdir())) == 1
    other = shutil.copytree(run, tmp_path / "study" / "other")
    facts = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps({**facts, "study": "study"}))
    assert main([str(run), str(tmp_path / "study"), *words[1:]]) == 1
    assert Path(capsys.readouterr().out.strip()).name.startswith("0002_")


def test_nothing_is_left_half_written(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, exporter = fedlayers.open(run), ChainExport(str(tmp_path / "runs"))
    place = tmp_path / "runs" / "digits" / "mlp"
    stale = place / f".{run.name}"
    stale.mkdir(parents=True)  # what a killed process has left
    (stale / "half.pt").touch()

    def killed(*_: object) -> None:
        assert not (stale / "half.pt").exists() and (stale / "last.pt").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(chain_export, "draw_plots", killed)
    with pytest.raises(KeyboardInterrupt):
        exporter.write(opened)
    assert list(place.iterdir()) == []
    taken = place / "0007_taken"

    def late(*_: object) -> None:
        (taken / "log.jsonl").parent.mkdir()

    monkeypatch.setattr(chain_export, "draw_plots", late)
    assert exporter.write(opened).folder.name.startswith("0008_")


def test_an_unfinished_run_is_not_written(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "done.json").unlink()
    with pytest.raises(UserError, match="is interrupted: a run is exported when it is complete"):
        ChainExport(str(tmp_path / "runs")).write(fedlayers.open(copy))
    assert not (tmp_path / "runs").exists()


def test_a_run_exports_itself_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plots, "draw", draw)
    words = ["clients=2", "rounds=1", "examples_per_client=40", "metrics=[evaluation]", "engine=local", "figures=false"]
    for said in ("export: runs/digits/mlp/0001_", "(there already)"):
        with pytest.raises(SystemExit) as left:
            main_command([*words, "progress=none", "export=[chain]", "algorithm=local"])
        out = capsys.readouterr().out
        assert left.value.code == 0 and said in out
    (folder,) = tmp_path.glob("runs/digits/mlp/*")
    # Everybody alone: there is no global model to keep or to test.
    assert {"params.yaml", "log.jsonl"} <= {file.name for file in folder.iterdir()}
    assert (folder / "basic_training_curves.png").stat().st_size > 1000
    assert not list(folder.glob("*.pt")) and list(problems((folder / "log.jsonl").read_text())) == []


def test_what_is_missing_is_told(quick_run: Callable[..., Path], tmp_path: Path) -> None:
    bare = quick_run("engine=local", "metrics=[weights]", "algorithm=local", "rounds=1")
    found = ChainExport(str(tmp_path)).write(fedlayers.open(bare))
    assert [note.partition(":")[0] for note in found.notes] == [
        "log.jsonl has no training line for 1 of 1 rounds", "log.jsonl has no validation line for 1 of 1 rounds",
        "there is no best.pt", "there is no last.pt", "there are no test results",
    ]  # fmt: skip


def test_mistakes_are_found_before_a_run_begins(quick_run: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"export.chain.folder must be a folder, or a name for a new one, got '.*file'"):
        quick_run("export=[chain]", f"export.chain.folder={tmp_path}/file", folder=tmp_path / "results")
    with pytest.raises(UserError, match=r"export has no option 'chian'; did you mean export=\[chain\]"):
        quick_run("export=[chian]")
    with pytest.raises(
        UserError, match=r"export.mine._target_ must be a subclass of fedlayers.export.exporter.Exporter"
    ):
        exporters({"mine": {"_target_": "collections.OrderedDict"}})
    assert exporters({"chain": None}) == {} and issubclass(ChainExport, Exporter)
    assert not (tmp_path / "results").exists()
