"""``python -m fedlayers.chain``: trains, tests, draws and tells, in one command or in several."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import fedlayers
from fedlayers.commands.chain.arguments import chain_arguments, training_parser
from fedlayers.commands.chain.main import main
from fedlayers.config.compose import compose_config
from fedlayers.config.experiments import experiment_word, experiments
from fedlayers.core.errors import UserError
from tests.support.fake_run import Fake, write_run

QUICK = [
    "clients=3", "rounds=2", "examples_per_client=40", "model.hidden=[16,16]", "engine=local", "progress=none",
    "training.lr=0.2", "partition=iid",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(quick_run: Callable[..., Path]) -> Path:
    return quick_run("engine=local", "metrics=[evaluation]", "snapshots.clients=true")


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[object, str, str]:
    """Return the exit code, what was printed, and what was said of mistakes."""
    capsys.readouterr()
    try:
        code: object = main([str(word) for word in words])
    except SystemExit as left:
        code = left.code
    return code, *capsys.readouterr()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_command_trains_tests_and_draws(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*QUICK, "metrics=[evaluation]"]
    code, out, err = said(capsys, *words)
    assert code == 0, err
    (run,) = here.glob("results/main/*-*")
    assert "of 270 examples" in out and "true \\ predicted" in out
    listed = {line.strip() for line in out.partition("files in ")[2].splitlines()}
    wanted = (
        "records",
        "snapshots/server@2.safetensors",
        "evaluation/best/confusion.npy",
        "figures/learning_curves.png",
    )
    assert {*wanted, "figures/confusion_matrix_normalized.png", "evaluation/best/confusion_matrix.png"} <= listed
    assert all((run / line).exists() for line in listed if "/" in line and not line.startswith("results"))
    before = {file: file.stat().st_mtime_ns for file in (run / "records").iterdir()}
    code, out, _ = said(capsys, *words, "figures=false")
    assert code == 0 and "already complete" in out and "files in " in out
    assert before == {file: file.stat().st_mtime_ns for file in (run / "records").iterdir()}


def test_a_sweep_is_tested_run_by_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for word in QUICK if word != "rounds=2"]
    code, out, err = said(capsys, "-m", *words, "metrics=[evaluation]", "figures=false", "seed=0,1", "rounds=1")
    assert code == 0, err
    assert out.count("the best model, of round 1") == 2 and "files in results/main\n" in out
    assert len(list(here.glob("results/main/*/evaluation/best/class_report.json"))) == 2


def test_training_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine.yaml").write_text("defaults:\n  - override /partition: iid\nrounds: 1\nclients: 2\n")
    code, out, err = said(capsys, "train", "mine.yaml", *QUICK[2:-1], "metrics=[weights]", "figures=false")
    assert code == 0, err
    (run,) = here.glob("results/main/*-*")
    assert "digits · iid · mlp · fedavg · 2 clients · seed 0 · complete, 1 of 1 rounds" in out
    assert not (run / "evaluation").exists()


def test_a_mistake_is_a_sentence_and_starts_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "train", "rounds=0") == (1, "", "error: rounds must be from 1 to 2147483647, got 0\n")
    code, _, err = said(capsys, "layers_fmist")
    assert code == 1 and err.startswith(
        "error: there is no experiment layers_fmist (did you mean layers_fmnist?): give"
    )
    code, _, err = said(capsys, "a", "b", "rounds=1")
    assert (code, err) == (1, "error: there can be one experiment, got a and b: settings are written key=value\n")
    assert not list(here.iterdir())


def test_without_an_experiment_what_answers_the_questions_is_measured() -> None:
    def measured(*words: str) -> list[str]:
        found = chain_arguments(training_parser("", None, "").parse_args(words))
        return [word for word in found.overrides if word.startswith("metrics=")]

    assert measured("rounds=1") == ["metrics=[evaluation,readout]"]
    assert measured("rounds=1", "metrics=[weights]") == ["metrics=[weights]"]
    assert measured("layers_fmnist", "rounds=1") == measured("+experiment=layers_fmnist") == []


def test_an_experiment_is_named_or_a_file(here: Path) -> None:
    assert "layers_fmnist" in experiments() and experiment_word("layers_fmnist") == "+experiment=layers_fmnist"
    (here / "my own.yml").write_text("rounds: 7\ntraining: {lr: 0.3}\n")
    config = compose_config([experiment_word("my own.yml"), "training.momentum=0.5"])
    assert (config.rounds, config.training.lr, config.training.momentum) == (7, 0.3, 0.5)


def test_a_file_that_is_no_experiment_says_so(here: Path) -> None:
    for name, text in {"broken.yaml": "a: [", "list.yaml": "- 1", "empty.yaml": ""}.items():
        (here / name).write_text(text)
    with pytest.raises(UserError, match=r"broken.yaml cannot be read \(.+\): give a YAML file like those in conf/exp"):
        experiment_word("broken.yaml")
    with pytest.raises(UserError, match=r"missing.yaml cannot be read \(No such file"):
        experiment_word("missing.yaml")
    for name, kind in (("list.yaml", "list"), ("empty.yaml", "NoneType")):
        with pytest.raises(UserError, match=rf"{name} must hold settings, such as rounds: 20, got {kind}"):
            experiment_word(name)


def test_a_run_is_tested_again(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ",".join(f"class-{letter}" for letter in "abcdefghij")
    code, out, _ = said(capsys, "evaluate", run, "--checkpoint", "last", "--clients", "--labels", names)
    assert code == 0 and re.search(r"class-c +[\d.–]+ +[\d.]+ +[\d.]+ +27\n", out)
    assert re.search(r"client 3: accuracy \d\.\d{4} of \d examples\n", out)
    folder = run / "evaluation" / "last"
    results = json.loads((folder / "test_results.json").read_text())
    counts = np.load(folder / "confusion.npy")
    assert results == {"acc": np.trace(counts) / 270, "examples": 270, "checkpoint": "last", "round": 2}
    report = json.loads((folder / "class_report.json").read_text())
    assert report["class-a"]["support"] == 27 and report["accuracy"] == results["acc"]
    assert report["macro avg"].keys() == {"precision", "recall", "f1-score", "support"}
    assert (folder / "confusion_matrix_normalized.png").is_file()
    assert np.load(folder / "clients" / "3" / "confusion.npy").sum() == 6


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A chain and the same network end to end."""
    words = [word for word in QUICK if not word.startswith(("model.hidden", "training.lr"))]
    words += ["metrics=[evaluation,weights]", "metrics.weights.rounds=[all]", "figures=false", "training.lr=0.05"]
    words += ["model.width=16", "model.layers=2", f"results_dir={tmp_path_factory.mktemp('results')}"]
    return [fedlayers.run(words, model=model).path for model in ("greedy_mlp", "deep_mlp")]


def test_each_layer_of_a_chain_is_tested(chains: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "evaluate", *chains)
    assert code == 0, err
    results = [json.loads((run / "evaluation/best/test_results.json").read_text()) for run in chains]
    assert results[0].keys() == {"acc_last", "acc_layers", "examples", "checkpoint", "round"} and "acc" in results[1]
    opened = fedlayers.open(chains[0])
    module, (features, labels) = opened.model("best"), opened.data.server_test.batch(torch.arange(270))
    fc1, relu, anchors1 = (module.get_submodule(name) for name in ("fc1", "relu", "anchors1"))
    first = (anchors1(relu(fc1(features.flatten(1)))).argmax(1) == labels).float().mean().item()
    assert results[0]["acc_layers"][0] == pytest.approx(first)
    assert results[0]["acc_last"] == results[0]["acc_layers"][1]
    assert re.search(r"by layer: fc1 \d\.\d{4}, fc2 \d\.\d{4}\n", out)


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (["timeline", "--metric", "update_norm", "--layer", "layer_1"], ["timeline_update_norm"]),
        (["training-curves", "overview"], ["learning_curves", "all_metrics_overview"]),
        (["confusion", "--normalize", "--labels", "a,b,c,d,e,f,g,h,i,j"], ["confusion_matrix_normalized"]),
        (["confusion"], ["confusion_matrix"]),
        (["heatmap", "layerwise", "--metric", "norm", "--formats", "png,svg"], ["heatmap_norm", "layer_profile_norm"]),
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_a_plot_is_chosen_by_name(
    chains: list[Path], words: list[str], files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = said(capsys, "plot", chains[0], *words, "--out", tmp_path)
    assert code == 0, err
    formats = ("png", "svg") if "--formats" in words else ("png",)
    expected = [str(tmp_path / f"{name}.{kind}") for name in files for kind in formats]
    assert sorted(out.splitlines()) == sorted(expected) and all(Path(file).is_file() for file in expected)


def test_runs_are_compared(
    chains: list[Path], here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []

    def open_(place: str) -> bool:
        shown.append(place)
        return len(shown) < 3

    monkeypatch.setattr("webbrowser.open", open_)
    words = ["confusion", "multi-run", "--normalize", "--metric", "norm"]
    code, out, err = said(capsys, "plot", *chains, *words, "--show")
    assert code == 0, err
    assert out.splitlines() == ["comparison/confusion_matrix_normalized.png", "comparison/multi_run_norm.png"]
    assert shown == [(here / line).as_uri() for line in out.splitlines()]
    code, _, err = said(capsys, "plot", *chains, *words, "--show")
    assert (code, err) == (1, "--show needs a program that shows pictures, and found none: open the files above\n")


def test_a_phase_is_one_moment(chains: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "plot", chains[0], "overview", "--phase", "train", "--out", tmp_path)
    assert (code, out) == (0, f"{tmp_path}/all_metrics_overview.png\n")
    code, _, err = said(capsys, "plot", chains[0], "overview", "--phase", "val", "--out", tmp_path)
    assert code == 1 and err == (
        f"--phase val needs layers measured after_aggregate, and {chains[0]} has them after_local: train it with "
        "metrics.readout.moments=[after_local,after_aggregate]\n"
    )


def test_what_cannot_be_drawn_is_a_sentence(
    chains: list[Path], run: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*words: object) -> str:
        code, out, err = said(capsys, "plot", *words)
        assert (code, out, err.count("\n")) == (1, "", 1)
        return err

    start = (
        "timelin is no folder and no plot (did you mean timeline?): give runs or a study, and some of training-curves"
    )
    assert told(run, "timelin").startswith(start)
    assert told("timeline") == "give the folder of a run or a study, such as results/main/<run>\n"
    assert "has no figure of --metric probe_f1; there are figures of" in told(
        chains[0], "timeline", "--metric", "f1_score"
    )
    unmeasured = told(chains[0], "train-val", "--metric", "accuracy")
    assert " has no accuracy of clients' models on training examples beside validation examples" in unmeasured
    assert unmeasured.endswith(": train it with metrics.evaluation.splits=[train,val,test]\n")
    assert told(run, run.parent, "timeline").startswith(
        f"{run.parent} is not a run folder: several folders are runs to"
    )
    shutil.copytree(run, here / "b" / run.name)
    assert told(run, Path("b") / run.name).startswith("runs that are compared must have different names: copy one into")
    assert told(run, "--formats", "gif") == "--formats must be some of png, pdf, svg with commas between, got gif\n"
    facts = json.loads((here / "b" / run.name / "run.json").read_text())
    (here / "b" / run.name / "run.json").write_text(json.dumps({**facts, "classes": ["yes", "no"]}))
    (here / "b" / run.name).rename(here / "b" / "other")
    expected = "runs must have the same classes to have one confusion matrix: name one run\n"
    assert told(run, Path("b") / "other", "confusion") == expected
    bare = write_run(here / "bare", Fake(overrides=(("classes", []),)))
    assert told(bare, "confusion").startswith(f"{bare} holds nothing that could be drawn of that")


def test_what_cannot_be_tested_is_a_sentence(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = said(capsys, "evaluate", run, "--labels", "yes,no")
    assert (code, err) == (
        1,
        "--labels must be 10 different names, one for each class, with commas between, got yes,no\n",
    )
    code, _, err = said(capsys, "evaluate", tmp_path / "nowhere")
    assert (code, err) == (1, f"{tmp_path / 'nowhere'} is no folder: give results/<study>/<run> or results/<study>\n")
    code, _, err = said(capsys, "evaluate", tmp_path)
    assert code == 1 and err == f"{tmp_path} is no run and holds no complete one: give results/<study>/<run>\n"
    shutil.copytree(run, tmp_path / "study" / "run")
    for file in (tmp_path / "study" / "run" / "snapshots").iterdir():
        file.unlink()
    code, out, err = said(capsys, "evaluate", tmp_path / "study", "--checkpoint", "last", "--clients")
    assert (code, out) == (1, "") and "has not kept the model of its last round, 2: let it run" in err


def test_help_teaches_in_a_moment() -> None:
    done = subprocess.run([sys.executable, "-X", "importtime", "-m", "fedlayers.chain", "evaluate", "--help"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert "--checkpoint {best,last}" in done.stdout and "examples:" in done.stdout
    assert not re.search(r"\| +(torch|matplotlib)$", done.stderr, re.MULTILINE)
