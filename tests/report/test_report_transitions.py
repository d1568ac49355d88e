"""The part of a report that says which layers are shared and why."""

from collections.abc import Callable
from pathlib import Path

from fedlayers.figures.available import figures_of
from fedlayers.report.page import write_report
from fedlayers.report.transitions import transitions_part
from fedlayers.runs.reading.tables import read
from fedlayers.views.plans.transitions import transitions


def test_a_run_that_looked_for_a_transition_tells_what_it_found(quick_run: Callable[..., Path]) -> None:
    run = quick_run(
        "engine=local", "rounds=1", "metrics=[evaluation,transition]", "model.hidden=[8,8]",
        "metrics.transition.batch_examples=16",
    )  # fmt: skip
    found = transitions(read(run).records)
    assert [one.measure for one in found] == ["sensitivity"]
    page = write_report(run).read_text()
    part = transitions_part(read(run))
    assert part in page and "Which layers are shared, and why" in part
    assert found[0].sentence[1:] in part and part.count("<td>sensitivity</td>") == 3
    assert "layer_transition" in [figure.family for figure in figures_of(run)]


def test_a_study_tells_it_run_by_run_and_others_nothing(quick_run: Callable[..., Path], tmp_path: Path) -> None:
    words = ["engine=local", "rounds=1", "metrics=[evaluation,transition]", "metrics.transition.batch_examples=16"]
    runs = [quick_run(*words, f"seed={seed}", folder=tmp_path) for seed in range(2)]
    part = transitions_part(read(tmp_path / "main"))
    assert [f"<h3>{run.name}</h3>" in part for run in runs] == [True, True]
    # Two layers are too few.
    assert part.count("no transition, 2 layers with weights are too few") == 2
    assert transitions_part(read(quick_run("engine=local", "rounds=1", "metrics=[evaluation]"))) == ""
