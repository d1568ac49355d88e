"""What metrics are called on axes, with their units and ranges, from the facts that the metrics state."""

import importlib
import logging
import pkgutil
from functools import cache

import metrics
from metrics.base import Described, Facts

logger = logging.getLogger(__name__)


@cache
def known_facts() -> dict[str, Facts]:
    """Return metric name -> facts of everything in the ``metrics`` package that states some."""
    for module in pkgutil.walk_packages(metrics.__path__, "metrics."):
        try:
            importlib.import_module(module.name)
        except ImportError as error:  # a metric whose optional library is not there has no unit on its axis
            logger.debug("%s cannot be imported: %s", module.name, error)
    found: dict[str, Facts] = {}
    families: list[type[Described]] = [Described]
    while families:
        family = families.pop()
        families += family.__subclasses__()
        found |= {facts.name: facts for facts in family.facts}
    return found


def unit_of(metric: str) -> str:
    """Return a metric's unit, empty if it is a pure number or unknown."""
    facts = known_facts().get(metric)
    return "" if facts is None or facts.unit == "1" else facts.unit


def axis_label(metric: str) -> str:
    """Return a metric's name in plain words, with its unit if it has one: ``loss (nat)``."""
    unit = unit_of(metric)
    return metric.replace("_", " ") + (f" ({unit})" if unit else "")
