"""The end of a run: figures and report come with it, and neither can spoil it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fedlayers.figures import draw
from fedlayers.report import page

RunOf = Callable[..., Path]


def test_a_run_ends_with_figures_and_report(quick_run: RunOf, capsys: pytest.CaptureFixture[str]) -> None:
    run = quick_run("figures=true")
    assert (run / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list((run / "figures").glob("*.png"))
    assert f"report:  {run / 'report.html'} (open it in a browser)" in capsys.readouterr().out


def test_without_figures_there_is_no_report_either(quick_run: RunOf, capsys: pytest.CaptureFixture[str]) -> None:
    run = quick_run()
    assert not (run / "report.html").exists()
    assert "report:" not in capsys.readouterr().out


def test_a_report_that_fails_leaves_the_run_complete(
    quick_run: RunOf, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_folder: Path, answers: object) -> Path:
        raise RuntimeError("no room")

    monkeypatch.setattr(page, "write_report", fail)
    monkeypatch.setattr(draw, "draw_main", lambda folder: None)
    run = quick_run("figures=true")
    assert (run / "done.json").exists() and not (run / "report.html").exists()
    assert "the report could not be written (log.txt says why); the tables are complete" in capsys.readouterr().err
    assert "RuntimeError: no room" in (run / "log.txt").read_text()


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (
            "fedlayers.report.page",
            "the report could not be written (log.txt says why); the tables are complete; python -m fedlayers.report",
        ),
        (
            "fedlayers.execution.summary",
            "what came out could not be summed up (log.txt says why); the tables are complete; the run is in",
        ),
    ],
)
def test_a_module_that_is_not_there_leaves_the_run_complete(
    module: str,
    told: str,
    quick_run: RunOf,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(page, "write_report", lambda folder, answers: folder)
    monkeypatch.setattr(draw, "draw_main", lambda folder: None)
    run = quick_run("figures=true")
    assert (run / "done.json").exists() and '"status": "complete"' in (run / "run.json").read_text()
    assert told in capsys.readouterr().err
    assert "ModuleNotFoundError" in (run / "log.txt").read_text()
