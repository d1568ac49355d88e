"""docs/how-to/large-studies.md: its code runs, on a made-up study."""

import re
from pathlib import Path
from typing import Any

import pytest

from fedlayers.studies.aggregate import aggregate
from tests.support.fake_run import write_run

TEXT = (Path(__file__).parents[2] / "docs" / "how-to" / "large-studies.md").read_text(encoding="utf-8")
# The made-up study has fewer rounds.
SHORTER = TEXT.replace("range(90, 101)", "range(1, 3)")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", SHORTER, flags=re.MULTILINE | re.DOTALL)
OTHERS = ("duckdb", "polars")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in (0, 1):
        write_run(tmp_path / "results" / "main", seed=seed)
    write_run(tmp_path / "results" / "main", seed=2, status="running")
    aggregate(tmp_path / "results" / "main")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("study")
def test_the_code_runs() -> None:
    names: dict[str, Any] = {}
    for block in BLOCKS:
        if not any(f"import {other}" in block for other in OTHERS):
            exec(block, names)
    assert names["runs"]["seed"].nunique() == 2 and len(names["curves"]) == 6 and len(names["means"]) == 3
    assert names["why"]["reason"].eq("the update is zero").all()


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize("other", OTHERS)
def test_the_code_of_others_gives_the_same(other: str) -> None:
    names: dict[str, Any] = {}
    exec(next(block for block in BLOCKS if "import pandas" in block), names)
    expected = names["curves"]
    (block,) = [block for block in BLOCKS if f"import {other}" in block]
    exec(block, names)
    found = names["curves"] if other == "duckdb" else names["curves"].to_pandas()
    key = ["algorithm", "layer", "round"]
    found = found.astype(dict.fromkeys(key[:2], str)).set_index(key)["value"]
    assert len(found) == len(expected)
    for place, value in expected.items():
        assert found[place] == pytest.approx(value)
