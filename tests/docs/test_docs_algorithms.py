"""The page of algorithms names every one, once."""

import re
from pathlib import Path

from fedlayers.config.options import options

PAGE = Path(__file__).parents[2] / "docs" / "algorithms.md"


def test_every_algorithm_has_a_row() -> None:
    first = [line.split("|")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    named = [name for name in re.findall(r"`(\w+)`", " ".join(first)) if name != "algorithm"]
    assert sorted(named) == options()["algorithm"]
