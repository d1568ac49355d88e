"""docs/metrics.md: of every family it explains, it names every quantity with its unit, and nothing else."""

import re
from functools import cache
from pathlib import Path

import pytest

from clients.fedavg import FedAvgClient
from fedlayers.config.compose import compose_config
from fedlayers.config.options import options
from fedlayers.core.plans.automatic import Automatic
from fedlayers.core.plans.intervals import LayerIntervals
from fedlayers.core.plans.threshold import Threshold
from fedlayers.flower.packing import LAYER_SHARED
from fedlayers.measuring.build import build_metrics
from metrics.base import Facts
from metrics.compare.measures.netrep import Netrep
from metrics.compare.measures.shape import ShapeMetric
from metrics.distances.built_in import built_in_metrics
from strategies.pfedla import PFedLA

TEXT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
# Name -> units, from the first and the last cell of every row of a table.
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in TEXT.splitlines() if line[:3] == "| `"
]
UNITS = {name: row[-1] for row in ROWS for name in re.findall(r"`([\w.]+)`", row[0].replace("(in `spectra`)", ""))}
FAMILIES = re.findall(r"^## (\w+):", TEXT, flags=re.MULTILINE)


def test_every_family_of_the_package_is_explained() -> None:
    assert sorted(FAMILIES) == options()["metrics"]


@cache
def stated() -> dict[str, tuple[Facts, ...]]:
    """Return what each family can state, with all measures of similarity."""
    measures = "similarity=[cka,procrustes,shape_0,svcca,pwcca,rsa]"
    metrics = build_metrics(compose_config([f"metrics=[{','.join(FAMILIES)}]", measures]).metrics)
    return {family: (*type(metrics[family]).facts, *metrics[family].facts) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_explained_whole(family: str) -> None:
    assert {fact.name for fact in stated()[family]} <= set(UNITS)


def test_an_explained_quantity_has_its_unit() -> None:
    units = {fact.name: fact.unit for facts in stated().values() for fact in facts}
    units |= {fact.name: fact.unit for fact in (*FedAvgClient.facts, *ShapeMetric.facts, *Netrep.facts)}
    units |= {metric.facts.name: metric.facts.unit for metric in built_in_metrics()}
    units |= {
        fact.name: fact.unit or "–"
        for fact in (LAYER_SHARED, *Automatic.facts, *LayerIntervals.facts, *Threshold.facts, *PFedLA.facts)
    }
    assert [name for name in UNITS if units.get(name) not in UNITS[name].split(", ")] == []


def test_values_named_in_the_text_can_be_set() -> None:
    words = {word for word in re.findall(r"`([\w.]+=[^`<]+)`", TEXT) if "..." not in word}
    assert len(words) > 4
    for word in words:
        needs = ["metrics=[similarity]"] if word.startswith("similarity=") else []
        needs += [f"metrics=[{family}]" for family in FAMILIES if word.startswith(f"metrics.{family}.")]
        needs += ["plant.kind=rotation"] if word.startswith("plant.groups=") else []
        compose_config([word, *needs])
