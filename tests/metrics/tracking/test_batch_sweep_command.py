"""``python -m metrics.resource_usage``: memory against batch size of a step of one's own."""

from pathlib import Path

import pytest

from metrics.resource_usage import __main__ as command
from metrics.tracking import drawing

STEP = """
import torch

def make():
    return lambda size: torch.zeros(size, 1000).sum()

def not_a_step():
    return 3

def fails():
    raise ValueError("no data")
"""


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(drawing, "save", lambda figure, path: path)
    (tmp_path / "swept_step.py").write_text(STEP)


def test_it_prints_a_line_a_size_and_leaves_table_and_figure(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert command.main(["swept_step:make", "--sizes", "1,4,16", "--device", "cpu", "--save-dir", "out"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["batch size      1", "batch size      4", "batch size     16"]
    assert lines[0].endswith(" MB") and lines[-1] == "out/memory_vs_batch_size.png"
    assert (tmp_path / "out" / "resource_metrics.json").is_file()


def test_it_stops_before_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["swept_step:make", "--sizes", "1,2,4", "--limit-mb", "1", "--device", "cpu"]) == 0
    assert "batch size      4: not run: about " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("step", "more", "sentence"),
    [
        ("swept_step:makes", [], "step must be MODULE:FUNCTION, such as mine:make_step, got 'swept_step:makes'"),
        ("nowhere:make", [], "step must be MODULE:FUNCTION, such as mine:make_step, got 'nowhere:make'"),
        ("swept_step", [], "step must be MODULE:FUNCTION, such as mine:make_step, got 'swept_step'"),
        ("swept_step:not_a_step", [], "swept_step:not_a_step must return a function of the batch size, got int"),
        ("swept_step:make", ["--sizes", "4,2"], r"sizes must be 1 or more and rise, got [4, 2]"),
    ],
)
def test_a_mistake_is_a_sentence(step: str, more: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([step, "--device", "cpu", *more]) == 1
    assert sentence in capsys.readouterr().err


def test_sizes_that_are_no_numbers_are_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["swept_step:make", "--sizes", "a,b"])
    assert "rising whole numbers with commas, such as 8,16,32, got 'a,b'" in capsys.readouterr().err
