"""Runs that differ in how many of the first layers are shared, and what a study's figure makes of them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedlayers.figures.available import figures_of
from fedlayers.runs.reading.tables import read
from fedlayers.views.plans.prefixes import prefix_scores

WORDS = ["engine=local", "rounds=2", "metrics=[evaluation]", "model.hidden=[8,8]"]


@pytest.fixture(scope="module")
def study(quick_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prefixes")
    for plan in (
        ["algorithm=local"], ["plan=prefix", "plan.layers=1"], ["plan=head"], ["plan=all"],
        ["plan=auto", "metrics.transition.batch_examples=8"],
    ):  # fmt: skip
        quick_run(*WORDS, *plan, folder=folder)
    return folder / "main"


def test_each_run_stands_at_the_number_of_layers_that_it_shares(study: Path) -> None:
    tables = read(study)
    found = prefix_scores(tables.records, tables.runs)
    accuracy = found[found["metric"] == "accuracy"].sort_values(["automatic", "shared"])
    assert accuracy["shared"].tolist()[:4] == [0, 1, 2, 3] and accuracy["automatic"].sum() == 1
    chosen = tables.records.query("metric == 'plan_prefix'").value
    assert accuracy["shared"].iloc[-1] == chosen.iloc[0]
    first = accuracy.iloc[1]
    rows = tables.records.query("metric == 'accuracy' and moment == 'final' and scope == 'client_test'")
    own = rows[(rows["run"] == first["run"]) & rows["client"].notna() & rows["subject"].isna()]
    assert first["value"] == pytest.approx(own["value"].mean())


def test_numbers_of_layers_are_compared_by_the_seeds_that_all_have(
    study: Path, quick_run: Callable[..., Path], tmp_path: Path
) -> None:
    copy = shutil.copytree(study, tmp_path / "main")
    quick_run(*WORDS, "plan=prefix", "plan.layers=1", "seed=7", folder=tmp_path)
    tables = read(copy)
    assert len(tables.runs) == 6 and set(prefix_scores(tables.records, tables.runs)["seed"]) == {0}


def test_the_figure_shows_them_and_the_choice(study: Path) -> None:
    (drawing,) = [drawing for drawing in figures_of(study) if drawing.family == "shared_prefixes"]
    figure = drawing.make()
    assert figure is not None
    left, right = figure.axes
    assert [label.get_text() for label in left.get_xticklabels()] == ["none", "to fc1", "to fc2", "all"]
    stars = next(line for line in right.lines if line.get_label() == "chose by themselves")
    assert len(np.atleast_1d(stars.get_xdata())) == 1 and "5 runs" in (figure.get_suptitle() or "")


def test_runs_that_differ_otherwise_or_are_few_are_not_compared(
    study: Path, quick_run: Callable[..., Path], tmp_path: Path
) -> None:
    tables = read(study)
    assert prefix_scores(tables.records, tables.runs[:2]).empty
    copy = shutil.copytree(study, tmp_path / "main")
    quick_run(*WORDS, "plan=suffix", "training.lr=0.01", folder=tmp_path)
    assert len(prefix_scores(read(copy).records, read(copy).runs)) == 10
    quick_run(*WORDS, "training.lr=0.01", folder=tmp_path)
    assert prefix_scores(read(copy).records, read(copy).runs).empty
