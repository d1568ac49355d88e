"""What metrics are called on axes and how their values are read, from the facts that the metrics state."""

import importlib
import logging
import math
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metrics.base import Facts

logger = logging.getLogger(__name__)

_NAMES = ("Hessian", "Procrustes", "Gaussian", "Frobenius", "CKA", "SVCCA", "PWCCA", "RSA", "MCC", "F1", "SNR", "B")
_SPELLED = {name.lower(): name for name in _NAMES} | {"dst": "distance"}


@cache
def known_facts() -> "dict[str, Facts]":
    """Return metric name -> facts of everything in the ``metrics`` package that states some."""
    # They bring PyTorch, which takes seconds: listing figures does without.
    import metrics
    from metrics.base import Described

    for module in pkgutil.walk_packages(metrics.__path__, "metrics."):
        try:
            importlib.import_module(module.name)
        except Exception as error:  # a library that is not there, or a file that someone is writing: no units from it
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


def range_of(metric: str) -> tuple[float, float]:
    """Return the lowest and the highest value a metric can have, infinite where it has no limit or states none."""
    facts = known_facts().get(metric)
    return (-math.inf, math.inf) if facts is None else (facts.low, facts.high)


def can_be_negative(metric: str) -> bool:
    """Say whether a metric's values reach from below zero without a limit, as it states."""
    facts = known_facts().get(metric)
    return facts is not None and facts.low == -math.inf


def value_of_itself(metric: str) -> float:
    """Return a thing's value with itself: 0 for a distance, 1 for a similarity up to 1, NaN if it is not known."""
    facts = known_facts().get(metric)
    if facts is not None and facts.direction == "lower" and facts.low == 0:
        return 0.0
    return 1.0 if facts is not None and facts.direction == "higher" and facts.high == 1 else math.nan


def is_symmetric(metric: str) -> bool:
    """Say whether swapping the two changes nothing, as far as the metric states it."""
    facts = known_facts().get(metric)
    return facts is not None and facts.symmetric


def axis_label(metric: str, words: str = "") -> str:
    """Return a metric's name in plain words, or the words given, with its unit if it has one: ``loss (nat)``."""
    unit = unit_of(metric).replace("^2", "²")
    plain = " ".join(_SPELLED.get(word, word) for word in metric.split("_"))
    return (words or plain) + (f" ({unit})" if unit else "")
