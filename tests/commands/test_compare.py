from pathlib import Path

import pandas as pd
import pytest

from fedlayers.commands.compare import main
from tests.support.scored_runs import write_scored

TABLES = ["algorithms", "clients", "differences", "tests", "ranks", "pairs"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data sets, three algorithms, six seeds: one is better by more than the noise."""
    folder = tmp_path_factory.mktemp("results") / "paper"
    gains = {"local": 0.0, "fedavg": 0.05, "fed_prox": 0.12}
    for dataset in ("Heart", "FMNIST"):
        for seed in range(6):
            for algorithm, gain in gains.items():
                noise = 0.01 * ((seed * 7 + len(algorithm)) % 5)
                values = [0.5 + gain + noise, 0.6 + gain - noise]
                write_scored(folder, algorithm, seed, values, facts={"dataset": dataset}, dataset__classes=len(dataset))
    return folder


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    return code, *capsys.readouterr()


def test_it_prints_what_a_paper_shows(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, study)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("by setting: clients' test accuracy, last round, after aggregation; means over clients")
    assert lines[1].split() == ["algorithm", "FMNIST", "Heart", "mean", "rank"]
    assert lines[2].split() == ["fed_prox", "0.670", "±", "0.000*", "0.670", "±", "0.000*", "1.00"]
    assert (
        "mean rank by accuracy over 12 blocks, the seeds of 2 settings: fed_prox 1.00, fedavg 2.00, local 3.00" in out
    )
    assert "Holm, against fedavg: fed_prox (p = 0.029), local (p = 0.029) differ" in out
    assert lines[-1].startswith(f"{study / 'comparison'}: algorithms.parquet, algorithms.csv, clients.parquet")


def test_every_table_is_there_as_parquet_and_csv(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, study, "--out", tmp_path)[0] == 0
    for name in TABLES:
        table = pd.read_parquet(tmp_path / f"{name}.parquet")
        again = pd.read_csv(tmp_path / f"{name}.csv")
        told = ~again.isna().all()  # what holds no text at all is empty either way
        pd.testing.assert_frame_equal(again.loc[:, told], table.loc[:, told], check_dtype=False)
    assert not (tmp_path / "tried.csv").exists()
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    said(capsys, study, "--out", tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_markdown_and_latex_are_written(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, study, "--out", tmp_path, "--metric", "loss", "--baseline", "local")
    markdown, latex = (tmp_path / "comparison.md").read_text(), (tmp_path / "comparison.tex").read_text()
    assert "| fed_prox | **0.330 ± 0.000** | **0.330 ± 0.000** | 1.00 |" in markdown
    assert markdown.count("|\n\nBold: best mean; no test\n") == 3
    assert latex.count("\\end{tabular}\n\\par\\smallskip\nBold: best mean; no test\n\\end{table}") == 3
    assert "- mean rank by loss over 12 blocks" in markdown
    assert r"fed\_prox & \textbf{0.330 $\pm$ 0.000} & \textbf{0.330 $\pm$ 0.000} & 1.00 \\" in latex
    assert latex.count(r"\begin{tabular}{lrrr}") == 1 and latex.count(r"\end{table}") == 3
    assert "$-$ local [95 \\%]" in latex and not any(char in latex for char in "−–±")


def test_a_folder_of_a_run_leaves_its_files_beside_it(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = min(study.glob("x-fedavg-*"))
    code, out, _ = said(capsys, run)
    assert code == 0 and f"{study / 'comparison'}: algorithms.parquet" in out
    assert "one algorithm, fedavg: there is nothing to compare it with" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(["nowhere"], "there is no folder nowhere"), ([".", "--round", "first"], "round must be one of last, best")],
)
def test_mistakes_are_told_in_one_sentence(
    words: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = said(capsys, *words)
    assert (code, out) == (1, "") and err.startswith(sentence) and err.count("\n") == 1
