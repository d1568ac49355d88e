"""The scripts in examples/ run from an empty folder and print what they promise."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# What the last lines of each say.
SHOWN = {
    "quickstart": r"fc2 +1 +\d\.\d+ +\d\.\d+ +\d\.\d+",
    "own_model": r"conv +\d\.\d+ +\d\.\d+",
    "own_metric": r"fc1 +0\.\d+ +0\.\d+ +0\.\d+",
    "sweep_and_comparison": r"fedadam against local: [+-]\d\.\d+ ± \d\.\d+",
    "layer_similarity": r"CKA 0\.\d+, Procrustes 0\.\d+ rad\n.*chance_hi",
    "notebook": r"fc2 +1 ",
}


def test_all_are_tested() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == SHOWN.keys()


@pytest.mark.slow
def test_one_with_classes_runs_as_a_program(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "own_model.py")]
    environment = {**os.environ, "MPLBACKEND": "agg"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(SHOWN["own_model"], done.stdout), done.stdout
    assert next(tmp_path.glob("results/*/*/done.json"))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SHOWN.keys() - {"own_model"}))
def test_it_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # A script's classes are found by its name, from its folder.
    monkeypatch.syspath_prepend(str(EXAMPLES))
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    plt.close("all")
    shown = capsys.readouterr().out
    assert re.search(SHOWN[name], shown), shown
    assert next(tmp_path.glob("results/*/*/done.json"))
