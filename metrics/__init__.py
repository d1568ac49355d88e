"""Metrics: pure functions on arrays and tensors, and the thin classes that say what they need.

``metrics.cka(x, y)`` and its like take NumPy arrays and tensors; ``metrics.distances`` compares weights.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metrics.base import Facts, Measurement, Metric, at, measured
    from metrics.classification import confusion_matrix, scores_from_confusion
    from metrics.example_gradients.per_example import ExamplePass
    from metrics.functional import (
        cka,
        cka_distance,
        compare_representations,
        effective_rank,
        participation_ratio,
        procrustes,
        pwcca,
        rsa,
        shape_distance,
        svcca,
    )

__all__ = [  # noqa: RUF022 (grouped by question)
    # How alike are two representations?
    "cka",
    "cka_distance",
    "compare_representations",
    "procrustes",
    "pwcca",
    "rsa",
    "shape_distance",
    "svcca",
    # What is in one?
    "effective_rank",
    "participation_ratio",
    # How good is a classifier?
    "confusion_matrix",
    "scores_from_confusion",
    # What is the gradient of every example?
    "ExamplePass",
    # A metric of one's own
    "Facts",
    "Measurement",
    "Metric",
    "at",
    "measured",
]
_HOMES = {
    **dict.fromkeys(("Facts", "Measurement", "Metric", "at", "measured"), "base"),
    **dict.fromkeys(("confusion_matrix", "scores_from_confusion"), "classification"),
    "ExamplePass": "example_gradients.per_example",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that ``import metrics`` stays fast."""
    if name not in __all__:
        raise AttributeError(f"module 'metrics' has no attribute '{name}'; it has {', '.join(__all__)}")
    return getattr(import_module(f"metrics.{_HOMES.get(name, 'functional')}"), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
