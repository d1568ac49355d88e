"""What quantities are called on axes and how their values are read, from the facts that a run states of them."""

import math

from fedlayers.core.quantities import Facts

_NAMES = (
    "ACE",
    "JS",
    "Hessian",
    "Procrustes",
    "Gaussian",
    "Frobenius",
    "CKA",
    "SVCCA",
    "PWCCA",
    "RSA",
    "MCC",
    "F1",
    "SNR",
    "B",
)
_SPELLED = {name.lower(): name for name in _NAMES} | {"dst": "distance", "r2": "R²"}


def can_be_negative(quantity: Facts) -> bool:
    """Say whether a quantity's values reach from below zero without a limit, as it states."""
    return bool(quantity.unit) and quantity.low == -math.inf


def value_of_itself(quantity: Facts) -> float:
    """Return a thing's value with itself: 0 for a distance, 1 for a similarity up to 1, NaN if it is not known."""
    if quantity.direction == "lower" and quantity.low == 0:
        return 0.0
    return 1.0 if quantity.direction == "higher" and quantity.high == 1 else math.nan


def axis_label(quantity: Facts, words: str = "") -> str:
    """Return a quantity's name in plain words, or the words given, with its unit if it has one: ``loss (nat)``."""
    unit = "" if quantity.unit == "1" else quantity.unit.replace("^2", "²")
    plain = " ".join(_SPELLED.get(word, word) for word in quantity.name.split("_"))
    return (words or plain) + (f" ({unit})" if unit else "")
