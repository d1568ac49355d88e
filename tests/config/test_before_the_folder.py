"""A mistake that only data, model or engine bring to light is told in one sentence, and leaves no folder behind."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fedlayers
from fedlayers.commands import main as app
from fedlayers.core.errors import UserError
from fedlayers.execution.execute import execute
from tests.conftest import QUICK, composed

Run = Callable[..., Path]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Start everything in a folder that holds a table and a folder that is no run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path.parent / "cache"))
    numbers = np.random.default_rng(0).normal(size=(120, 3))
    table = pd.DataFrame({"values": list(numbers), "label": np.arange(120) % 2})
    table.to_parquet(tmp_path / "table.parquet")
    (tmp_path / "no_run").mkdir()
    yield tmp_path


TABLE = "dataset=hub dataset.path=table.parquet examples_per_client=null clients=2"
LATE = {
    "engine=local init=no_run": "init must be the folder of a run with at least one round, got 'no_run'",
    "engine=local init=nowhere": "init must be the folder of a run with at least one round, got 'nowhere'",
    f"engine=local {TABLE} training.augment=[flip]": r"training.augment must be \[\] unless examples are images",
    "engine=local data_dir=nowhere": "data_dir must be a folder that exists, got 'nowhere'; make it, or leave",
    "engine=local 'metrics.weights.rounds=[99]'": r"metrics.weights.rounds must .* from 1 to 2, got \[99\]",
    "engine=ray": "engine.client_cpus must be at most the 2 CPUs that Ray has, got 1",
}


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("line", LATE)
def test_what_is_noticed_late_leaves_nothing(
    line: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def too_few(*_: Any) -> None:
        raise UserError("engine.client_cpus must be at most the 2 CPUs that Ray has, got 1")

    # What Ray itself says is tested with Ray; here, that it is asked in time.
    monkeypatch.setattr("fedlayers.engines.ray.cluster.connect", lambda address: None)
    monkeypatch.setattr("fedlayers.engines.ray.resources.resources", too_few)
    monkeypatch.setattr("fedlayers.engines.ray.resources.gpu_share", lambda *_: 0.0)
    words = line.replace("'", "").split()
    chosen = {word.partition("=")[0] for word in words}
    with pytest.raises(SystemExit) as exited:
        app.main([*words, *(word for word in QUICK if word.partition("=")[0] not in chosen)])
    said = capsys.readouterr()
    assert exited.value.code == 1
    (told,) = [text for text in said.err.splitlines() if text and not text.startswith("Generating")]
    assert told.startswith("error: ") and "Traceback" not in said.out + said.err
    with pytest.raises(UserError, match=LATE[line]):
        raise UserError(told)
    assert left(elsewhere) == ["no_run", "table.parquet"]


def test_from_python_nothing_is_left_either(elsewhere: Path) -> None:
    with pytest.raises(UserError, match="init must be the folder of a run"):
        fedlayers.run([*QUICK, "engine=local", "init=no_run"])
    assert left(elsewhere) == ["no_run", "table.parquet"]


def test_what_only_the_folder_brings_to_light_takes_it_away_again(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_grid(*_: Any) -> None:
        assert list(elsewhere.glob("results/s/*/run.lock"))
        raise UserError("engine.address joins a cluster whose nodes must all see the run folder (results_dir)")

    monkeypatch.setattr("fedlayers.execution.execute.make_engine", no_grid)
    with pytest.raises(UserError, match="whose nodes must all see the run folder"):
        execute(composed(*QUICK, "engine=local", "study=s"))
    assert left(elsewhere) == ["no_run", "table.parquet"]
    assert "Traceback" not in caplog.text


def test_a_run_that_has_begun_keeps_its_rounds_whatever_happens(
    quick_run: Run, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("engine=local", "rounds=1")
    run = quick_run(*words, folder=elsewhere)
    parts = left(run / "records")

    def no_grid(*_: Any) -> None:
        raise UserError("cannot write results: the disk is full")

    monkeypatch.setattr("fedlayers.execution.execute.make_engine", no_grid)
    with pytest.raises(UserError, match="the disk is full"):
        quick_run("engine=local", "rounds=2", folder=elsewhere)
    assert set(parts) - set(left(run / "records")) <= {"final.parquet"}
    facts = json.loads((run / "run.json").read_text())
    assert (facts["status"], facts["reason"]) == ("failed", "cannot write results: the disk is full")


def test_a_continued_run_needs_its_start_no_more(quick_run: Run, elsewhere: Path) -> None:
    first = quick_run("engine=local", "seed=5", "rounds=1", folder=elsewhere)
    words = ("engine=local", f"init={first}", "seed=6")
    second = quick_run(*words, "rounds=1", folder=elsewhere)
    first.rename(elsewhere / "moved")
    assert quick_run(*words, "rounds=2", folder=elsewhere) == second
    with pytest.raises(UserError, match="init must be the folder of a run"):
        execute(replace(composed(*QUICK, *words, "force=true"), results_dir=str(elsewhere)))
    assert second.is_dir()
