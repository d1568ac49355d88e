import subprocess
import sys
from pathlib import Path

import pytest

from fedlayers.commands.plot import main
from fedlayers.figures import available
from fedlayers.studies.aggregate import aggregate
from tests.support.fake_run import Fake, write_run
from tests.support.figure_tables import Measured, write_measured_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_measured_run(tmp_path_factory.mktemp("results") / "main", Measured(clients=3, layers=3))


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[str], str]:
    """Return the exit code, the printed lines, and what was said of mistakes."""
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def test_the_list_names_every_figure_and_draws_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, names, _ = said(capsys, run, "--list")
    assert code == 0
    assert names[:7] == [
        "learning_curves", "partition", "weight_norm_changes", "layer_overview", "gradient_curvature_sensitivity",
        "hessian_density", "similarity_composite",
    ]  # fmt: skip
    measures = ("cka", "cka_distance", "procrustes_distance")
    assert names[7:16] == [f"{family}_{m}" for family in ("similarity", "clients", "layers") for m in measures]
    assert "layer_profile_hessian_trace" in names and len(set(names)) == len(names)
    assert not (run / "figures").exists()


def test_named_figures_are_drawn_and_their_paths_printed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines, _ = said(capsys, run, "partition", "layers", "--metric", "cka", "--out", tmp_path / "new" / "paper")
    assert code == 1  # of the metric cka there is no partition
    code, lines, _ = said(capsys, run, "--metric", "cka", "layers", "--out", tmp_path / "new" / "paper")
    assert code == 0
    assert lines == [str(tmp_path / "new" / "paper" / f"layers_cka.{kind}") for kind in ("png", "pdf")]
    assert all(Path(line).stat().st_size > 1000 for line in lines)


def test_a_kind_stands_for_all_of_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, names, _ = said(capsys, run, "layers", "layers_cka", "partition", "--list")
    assert names == ["layers_cka", "layers_cka_distance", "layers_procrustes_distance", "partition"]


def test_formats(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, lines, _ = said(capsys, run, "partition", "--formats", "pdf", "--out", tmp_path)
    assert lines == [str(tmp_path / "partition.pdf")]
    assert [file.name for file in tmp_path.iterdir()] == ["partition.pdf"]
    code, _, error = said(capsys, run, "--formats", "png,eps")
    assert (code, error) == (1, "--formats must be some of png, pdf, svg with commas between, got png,eps\n")


def test_one_round_is_drawn_alone(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, names, _ = said(capsys, run, "--round", 10, "--list")
    assert "learning_curves" not in names and "layer_profile_hessian_trace" in names
    assert "layer_profile_norm" not in names  # measured in rounds 1 and 2
    profile = next(figure for figure in available.figures_of(run, 10) if figure.name == "similarity_cka").make()
    assert profile is not None and [axes.get_title() for axes in profile.axes] == ["round 10"]
    code, _, error = said(capsys, run, "--round", 3)
    assert code == 1
    assert error.endswith("has no values of layers in round 3; rounds with some: 1, 2, 10\n")


def test_a_study_is_drawn_from_all_its_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (0, 1):
        write_run(tmp_path, Fake(rounds=2), seed=seed)
    code, lines, _ = said(capsys, tmp_path, "layer_profile", "--metric", "norm", "--formats", "png")
    assert (code, lines) == (0, [str(tmp_path / "figures" / "layer_profile_norm.png")])
    aggregate(tmp_path)
    code, _, error = said(capsys, tmp_path / "study.parquet")
    assert (code, error) == (1, f"{tmp_path / 'study.parquet'} is one table: give the study folder, {tmp_path}\n")
    code, _, error = said(capsys, tmp_path, "--round", 9)
    assert (code, error) == (1, f"{tmp_path} has no values of layers in round 9; rounds with some: 1, 2\n")


def test_mistakes_are_one_sentence_with_what_exists(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, sentence in {
        ("layer_profil",): "has no figure layer_profil (did you mean layer_profile?); there are learning_curves, ",
        ("layers_ckka",): "has no figure layers_ckka (did you mean layers_cka?); there are learning_curves, ",
        ("--metric", "ckka"): "has no figure of --metric ckka (did you mean cka?); there are figures of ",
        ("partition", "--metric", "cka"): "has no figure partition of cka; there are similarity, clients, layers",
    }.items():
        code, lines, error = said(capsys, run, *words)
        assert (code, lines) == (1, [])
        assert f"{run} {sentence}" in error
        assert error.count("\n") == 1
    code, _, error = said(capsys, run.parent / "nothing")
    assert code == 1
    assert error.startswith(f"there is nothing at {run.parent / 'nothing'}: give a run folder, a study folder")


def test_nothing_to_draw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    code, _, error = said(capsys, tmp_path)
    assert (code, error) == (1, f"{tmp_path} holds nothing that could be drawn yet: wait for its first round\n")


def test_a_figure_that_fails_is_told(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("no records here")

    monkeypatch.setattr(available, "partition_matrix", fail)
    code, lines, _ = said(capsys, run, "partition", "layers_cka", "--out", tmp_path, "--formats", "png")
    assert (code, lines) == (1, [str(tmp_path / "layers_cka.png")])


def test_help_teaches_by_example() -> None:
    command = [sys.executable, "-m", "fedlayers.plot"]
    shown = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
    assert "python -m fedlayers.plot results/main/<run> --list" in shown
    assert subprocess.run([*command], capture_output=True, check=False).returncode == 2
