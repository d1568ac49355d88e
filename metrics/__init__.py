"""Metrics: pure functions on arrays and tensors, and the thin classes that say what they need.

``metrics.cka(x, y)`` and its like take NumPy arrays and tensors; ``metrics.distances`` compares weights.
"""

from typing import TYPE_CHECKING

from fedlayers.core.lazy_modules import on_first_use

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
    from metrics.statistics.class_scores import class_report

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
    "class_report",
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
    "class_report": "statistics.class_scores",
    **dict.fromkeys(("confusion_matrix", "scores_from_confusion"), "classification"),
    "ExamplePass": "example_gradients.per_example",
}
__getattr__ = on_first_use(__name__, dict.fromkeys(__all__, "functional") | _HOMES)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
