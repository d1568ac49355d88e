"""Code of one's own: which files a run is made with, and what is said when they change between stop and continue."""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fedlayers.config.compose import compose_config
from fedlayers.execution.own_code import changed, own_code

METRIC = """
from metrics.base import Facts, Measurement, Metric, measured
from {helper} import double


class Own(Metric):
    facts = (Facts("own_value", "1", 0.0, 9.0, "neutral", "own"),)

    def client(self, view):
        return Measurement([measured("own_value", double(1.5))])
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a folder with a metric of one's own and what it imports, under names that no other test uses."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_code_metric.py").write_text(METRIC.format(helper="own_code_helper"))
    (tmp_path / "own_code_helper.py").write_text("import numpy\n\n\ndef double(x):\n    return 2 * x\n")
    yield tmp_path
    for name in ("own_code_metric", "own_code_helper"):
        sys.modules.pop(name, None)


def test_files_of_plug_ins_and_of_what_they_import_are_known_but_not_ours_and_not_what_is_installed(own: Path) -> None:
    config = compose_config(["metrics=[weights]", "+metrics.own._target_=own_code_metric.Own"])
    found = own_code(config)
    assert [Path(file).name for file in found] == ["own_code_metric.py", "own_code_helper.py"]
    assert own_code(replace(config, metrics={})) == {}
    (own / "own_code_helper.py").write_text("def double(x):\n    return 3 * x\n")
    assert changed(found, own_code(config)) == [str(own / "own_code_helper.py")] and changed(found, found) == []
    moved = {file.replace(str(own), "/elsewhere"): seal for file, seal in found.items()}
    assert changed(moved, found) == [] and changed({}, found) == []


def test_a_run_that_goes_on_with_other_code_says_which(
    own: Path, quick_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["metrics=[weights]", "+metrics.own._target_=own_code_metric.Own", "engine=local", "progress=plain"]
    run = quick_run(*words, "rounds=1", folder=own / "results")
    capsys.readouterr()
    (own / "own_code_helper.py").write_text("def double(x):\n    return 3 * x\n")
    importlib.invalidate_caches()
    assert quick_run(*words, "rounds=2", folder=own / "results") == run
    told = f"{own / 'own_code_helper.py'} is not as it was when the rounds before were made"
    assert told in capsys.readouterr().err and told in (run / "log.txt").read_text()
    stretches = json.loads((run / "run.json").read_text())["stretches"]
    assert [len(stretch["own_code"]) for stretch in stretches] == [2, 2]
