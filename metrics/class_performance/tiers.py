"""Head, medium and tail: classes by how many training examples they have."""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from numbers import Real
from typing import Any

import numpy as np

TIERS = ("head", "medium", "tail")
UNKNOWN = "unknown"
# More examples than the first are many, fewer than the second few.
MANY, FEW = 100, 20


def percentile_tiers(counts: Mapping[str, float]) -> dict[str, str]:
    """Return the tier of each class by the 33rd and 67th percentile of the counts: thirds of the classes.

    A class is tail below the 33rd percentile, head from the 67th on, else medium; a single class is head. Percentiles
    are interpolated linearly.

    Args:
        counts: class -> number of its training examples.

    Examples:
        >>> percentile_tiers({"cat": 900, "dog": 80, "owl": 3})
        {'cat': 'head', 'dog': 'medium', 'owl': 'tail'}
    """
    if not counts:
        return {}
    low, high = _ends_of_thirds(tuple(counts.values()))
    return {
        name: "head" if count >= high or len(counts) == 1 else "tail" if count < low else "medium"
        for name, count in counts.items()
    }


# A client's counts are the same at every moment, and those of all clients for every client.
@lru_cache(maxsize=256)
def _ends_of_thirds(counts: tuple[float, ...]) -> tuple[float, float]:
    low, high = np.percentile(counts, [33, 67])
    return low, high


def threshold_tiers(counts: Mapping[str, float], many: float = MANY, few: float = FEW) -> dict[str, str]:
    """Return the tier of each class by its count: head above ``many``, tail below ``few``, else medium.

    Args:
        counts: class -> number of its training examples.
        many: head classes have more.
        few: tail classes have fewer.

    References:
        Liu et al. 2019, Large-Scale Long-Tailed Recognition in an Open World (many-, medium- and few-shot: more than
        100, 20 to 100 and fewer than 20 images).

    Examples:
        >>> threshold_tiers({"cat": 101, "dog": 100, "owl": 20, "emu": 19})
        {'cat': 'head', 'dog': 'medium', 'owl': 'medium', 'emu': 'tail'}
    """
    return {name: "head" if count > many else "tail" if count < few else "medium" for name, count in counts.items()}


def hmt_info_of(counts: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """Return what ``ClassPerformanceTracker`` takes as ``hmt_info``, by percentiles of training counts.

    Args:
        counts: label group -> class -> number of its training examples (not of validation or test).

    Raises:
        ValueError: a count is no number, 0 or more.

    Examples:
        >>> hmt_info_of({"pet": {"cat": 900, "dog": 80, "owl": 3}})["pet"]["tail"]
        {'owl': 3}
    """
    found: dict[str, dict[str, Any]] = {}
    for group, of_classes in counts.items():
        for label, number in of_classes.items():
            if not isinstance(number, Real) or not 0 <= number < math.inf:
                raise ValueError(
                    f"counts[{group!r}][{label!r}] must be a number of training examples, 0 or more, got {number!r}"
                )
        tiers = percentile_tiers(of_classes)
        found[group] = {tier: {c: n for c, n in of_classes.items() if tiers[c] == tier} for tier in TIERS}
    return found


def given_tiers(info: Any) -> tuple[dict[str, str], dict[str, float]]:
    """Return class -> tier and class -> count of one group's ``hmt_info``; other entries, such as thresholds, are not.

    Args:
        info: tier -> class -> count, or tier -> names of classes; anything else says nothing.
    """
    tiers: dict[str, str] = {}
    counts: dict[str, float] = {}
    for tier in TIERS if isinstance(info, Mapping) else ():
        classes = info.get(tier)
        if isinstance(classes, Mapping):
            counts |= {str(name): count for name, count in classes.items()}
        if isinstance(classes, Iterable) and not isinstance(classes, str):
            tiers |= {str(name): tier for name in classes}
    return tiers, counts


def schemes(
    labels: Sequence[str],
    info: Mapping[str, Any] | None,
    counts: Mapping[str, float] | None,
    own_counts: Mapping[str, float] | None,
) -> dict[str, dict[str, str]]:
    """Return the ways in which one group's classes are told apart, by name -> class -> tier, the first one drawn.

    ``given`` (``hmt_info``), ``percentile`` and ``threshold`` (counts of all training examples), ``own_percentile``
    and ``own_threshold`` (counts of the client's own).
    """
    found: dict[str, dict[str, str]] = {}
    if info:
        tiers, of_info = given_tiers(info)
        found["given"] = tiers
        counts = counts or of_info
    for prefix, held in (("", counts), ("own_", own_counts)):
        if held:
            found |= {f"{prefix}percentile": percentile_tiers(held), f"{prefix}threshold": threshold_tiers(held)}
    return {
        scheme: {label: tiers.get(label, UNKNOWN) for label in labels} for scheme, tiers in found.items() if tiers
    } or {"given": dict.fromkeys(labels, UNKNOWN)}
