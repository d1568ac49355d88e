"""docs/metrics.md: of every family it explains, it names every quantity with its unit, and nothing else."""

import re
from pathlib import Path

import pytest

from fedlayers.config.compose import compose_config
from fedlayers.config.options import options
from fedlayers.measuring.build import build_metrics
from fedlayers.views.quantities import known_facts

TEXT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
# Name -> units, from the first and the last cell of every row of a table.
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in TEXT.splitlines() if line[:3] == "| `"
]
UNITS = {name: row[-1] for row in ROWS for name in re.findall(r"`([\w.]+)`", row[0].replace("(in `spectra`)", ""))}
FAMILIES = re.findall(r"^## (\w+):", TEXT, flags=re.MULTILINE)
# Recorded by the program itself.
OTHERS = {"training_loss"}


def test_every_family_of_the_package_is_explained() -> None:
    assert set(FAMILIES) <= set(options()["metrics"])
    assert len(FAMILIES) == 10


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_explained_whole(family: str) -> None:
    measures = "similarity=[cka,procrustes,shape_0,svcca,pwcca,rsa]"
    words = [f"metrics=[{family}]", *([measures] if family == "similarity" else [])]
    metric = build_metrics(compose_config(words).metrics)[family]
    assert {fact.name for fact in metric.facts} <= set(UNITS)


@pytest.mark.parametrize("name", sorted(UNITS.keys() - OTHERS))
def test_an_explained_quantity_has_its_unit(name: str) -> None:
    assert known_facts()[name].unit in UNITS[name].split(", ")


def test_values_named_in_the_text_can_be_set() -> None:
    words = [word for word in re.findall(r"`([\w.]+=[^`<]+)`", TEXT) if "..." not in word]
    assert len(words) > 4
    for word in words:
        needs = ["metrics=[similarity]"] if word.startswith("similarity=") else []
        needs += [f"metrics=[{family}]" for family in FAMILIES if word.startswith(f"metrics.{family}.")]
        needs += ["plant.kind=rotation"] if word.startswith("plant.groups=") else []
        compose_config([word, *needs])
