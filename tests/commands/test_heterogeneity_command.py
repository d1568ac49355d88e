"""``python -m fedlayers.heterogeneity``: stand-alone models are trained once, and views find what they ask first."""

from pathlib import Path

import pyarrow as pa
import pytest

from fedlayers.commands.heterogeneity import main
from fedlayers.explore.slow import works
from fedlayers.explore.slow.jobs import SlowJobs
from fedlayers.explore.slow.kept import Kept
from fedlayers.explore.slow.made_of import made_of
from fedlayers.explore.slow.worker import Asked
from fedlayers.heterogeneity.standalone import standalone_run
from fedlayers.opening.run import Run
from tests.support.compared_runs import write_compared_runs


def test_a_run_is_prepared_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FEDLAYERS_DATA", str(tmp_path / "data"))
    [folder] = write_compared_runs(tmp_path / "results", ("fedavg",))
    capsys.readouterr()
    assert main([str(folder)]) == 0
    alone = standalone_run(Run(folder))
    assert alone is not None and alone.folder.parent == folder / "standalone"
    assert f"stand-alone models: {alone.folder}" in capsys.readouterr().out
    jobs = SlowJobs(Kept(tmp_path / "cache" / "explore"))
    settings = {"client": 1, "round": None, "inputs": "local"}
    asked = Asked("fedlayers.explore.slow.works:outputs", folder, settings)
    assert isinstance(jobs.ask(asked, made_of(folder), "records"), pa.Table)
    written = (alone.folder / "done.json").stat().st_mtime_ns
    for work in ("parameters", "shifts", "outputs", "rounds", "clusters", "contrast"):
        monkeypatch.setattr(works, work, lambda *_: pytest.fail("worked out again"))
    assert main([str(folder)]) == 0
    assert (alone.folder / "done.json").stat().st_mtime_ns == written
    assert "complete" not in capsys.readouterr().out


def test_a_mistake_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert "is not a run folder" in capsys.readouterr().err
