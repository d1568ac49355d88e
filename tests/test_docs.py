"""docs/metrics.md: it names every metric with its unit, and nothing else."""

import re
from pathlib import Path

import pytest

from fedlayers.compose import compose_config
from fedlayers.figures.quantities import known_facts

TEXT = (Path(__file__).parent.parent / "docs" / "metrics.md").read_text(encoding="utf-8")
# Name -> units, from the first and the last cell of every row of a table.
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in TEXT.splitlines() if line[:3] == "| `"
]
UNITS = {name: row[-1] for row in ROWS for name in re.findall(r"`(\w+)`", row[0].replace("(in `spectra`)", ""))}
# Recorded by the program itself.
OTHERS = {"training_loss"}


@pytest.mark.parametrize(
    "name", sorted(name for name, fact in known_facts().items() if "own definition" not in fact.reference)
)
def test_a_metric_is_explained_with_its_unit(name: str) -> None:
    assert name in UNITS, f"docs/metrics.md does not explain {name}"
    assert known_facts()[name].unit in UNITS[name].split(", ")


def test_nothing_else_is_explained() -> None:
    assert set(UNITS) - OTHERS <= set(known_facts())


def test_values_named_in_the_text_can_be_set() -> None:
    words = re.findall(r"`([\w.]+=[^`<]+)`", TEXT)
    words = [word for word in words if "..." not in word]
    assert len(words) > 4
    for word in words:
        needs = ["metrics=[similarity]"] if word.startswith("similarity=") else []
        compose_config([word, *needs])
