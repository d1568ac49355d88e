"""The README, the tutorial and the how-to pages do what they say: small versions of what they show are run."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fedlayers
from fedlayers.commands.main import main
from tests.support.doc_pages import PAGES, README, words_of

QUICK = ["rounds=2", "clients=3", "examples_per_client=40", "figures=false", "progress=none", "engine=local"]
BY_NAME = {page.name: page for page in PAGES}
# What pages say of their runs, and what the small study of two rounds and three clients has instead.
SMALLER = {
    "[1, 5, 10, 20]": "[1, 2]",
    "rounds=[1, 10]": "rounds=[1, 2]",
    "model(10,": "model(2,",
    "rounds=10, client=3": "rounds=2, client=1",
}


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, from which modules are found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The study that the README starts, in small."""
    folder = tmp_path_factory.mktemp("reader")
    words = [*QUICK, f"results_dir={folder}/results", "study=paper", "metrics=[evaluation,weights]"]
    fedlayers.run(words, algorithm=["local", "fedavg"], seed=[0, 1])
    for name in ("main", "first", "drift"):
        (folder / "results" / name).symlink_to("paper")
    yield folder


def start(words: list[str]) -> object:
    with pytest.raises(SystemExit) as left:
        main(words)
    return left.value.code


def carry_out(snippets: list[str], name: str) -> None:
    names: dict[str, Any] = {}
    for snippet in snippets:
        exec(compile(snippet, name, "exec"), names)


def test_it_is_short() -> None:
    assert len(README.text.splitlines()) <= 150


def test_pictures_are_small() -> None:
    pictures = list((Path(__file__).parents[2] / "docs" / "images").glob("*.png"))
    assert pictures and all(picture.stat().st_size < 150_000 for picture in pictures)


@pytest.mark.parametrize(
    "page", ["README.md", "docs/how-to/own-data.md", "docs/how-to/own-model.md", "docs/how-to/own-metric.md"]
)
def test_things_of_ones_own_run(page: str, reader: Path, capsys: pytest.CaptureFixture[str]) -> None:
    BY_NAME[page].write_files(reader)
    command = next(command for command in BY_NAME[page].commands() if "_target_=" in command)
    given = {word.split("=")[0] for word in words_of(command)}
    quick = [
        word for word in QUICK if not (word.startswith("clients") and ("clients" in given or "partition" in given))
    ]
    assert start([*words_of(command), *quick, "metrics=[weights]"]) == 0, capsys.readouterr().err
    assert next(reader.glob("results/main/*/done.json"))


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("README.md", r"update_norm +fc1"),
        ("docs/tutorial.md", r"digits +0 +fc1 +\S+"),
        ("docs/tables.md", r"\(\d+, \d+\)"),
        ("docs/how-to/sweeps.md", r"algorithm +\w+ +\w+\nseed"),
    ],
)
def test_tables_are_read(
    page: str, shown: str, study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(study)
    snippets = [snippet for snippet in BY_NAME[page].blocks("python") if not re.match(r"# \S+\.py\n", snippet)]
    run = min((study / "results" / "paper").glob("digits-fedavg-*"))
    for said, small in {**SMALLER, "<run>": run.name}.items():
        snippets = [snippet.replace(said, small) for snippet in snippets]
    carry_out(snippets, page)
    assert re.search(shown, capsys.readouterr().out)


def test_python_interface_runs(reader: Path, capsys: pytest.CaptureFixture[str]) -> None:
    carry_out(BY_NAME["docs/how-to/notebook.md"].blocks("python"), "notebook.md")
    assert "Score(value=" in capsys.readouterr().out
