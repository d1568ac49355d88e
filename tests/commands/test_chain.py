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

from fedlayers.commands.chain.arguments import chain_arguments, training_parser
from fedlayers.commands.chain.main import main
from fedlayers.config.compose import compose_config
from fedlayers.config.experiments import experiment_word, experiments
from fedlayers.core.errors import UserError

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

    assert measured("rounds=1") == ["metrics=[evaluation,representation]"]
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
