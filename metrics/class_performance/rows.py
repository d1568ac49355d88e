"""Class performance as rows of a run's tables."""

from collections.abc import Mapping
from typing import Any

from fedlayers.core.quantities import Facts
from fedlayers.core.records import Row, Spectrum
from metrics.base import measured
from metrics.class_performance.scores import RECALLS, SCORES, ClassResult, TierResult

_REFERENCE = {
    "f1": "van Rijsbergen 1979, Information Retrieval",
    "precision": "van Rijsbergen 1979, Information Retrieval",
    "recall": "van Rijsbergen 1979, Information Retrieval",
    "ap": "Davis & Goadrich 2006, The relationship between precision-recall and ROC curves; scores in bins",
}
FACTS = (
    *(Facts(f"class_{score}", "1", 0.0, 1.0, "higher", _REFERENCE[score]) for score in SCORES),
    *(Facts(f"tier_{score}", "1", 0.0, 1.0, "higher", f"{_REFERENCE[score]}; mean over classes") for score in SCORES),
    Facts("class_precision_at_recall", "1", 0.0, 1.0, "higher", _REFERENCE["ap"]),
)
_ABSENT = "no example of the class"


def class_rows(
    group: str, classes: Mapping[str, ClassResult], tiers: Mapping[str, Mapping[str, TierResult]], scope: str
) -> list[Row]:
    """Return a row a class and score, a row a tier and score, and a curve a class that had examples.

    ``subject`` is the class or the tier; ``variant`` the label group, of tiers ``<group>, <scheme>``.
    """
    found: list[Row] = []
    recalls = RECALLS.tolist()
    for label, result in classes.items():
        where: dict[str, Any] = {"subject": label, "variant": group, "scope": scope}
        reason = "never predicted" if result.support else _ABSENT
        found += [
            measured(f"class_{score}", getattr(result, score), reason, n=result.support, **where) for score in SCORES
        ]
        if result.support:
            precisions = result.curve.tolist()
            found.append(Spectrum("class_precision_at_recall", recalls, precisions, n=result.support, **where))
    return found + tier_rows(group, tiers, scope)


def tier_rows(
    group: str, tiers: Mapping[str, Mapping[str, TierResult]], scope: str, client: int | None = None
) -> list[Row]:
    """Return a row a tier and score, of a client if it is given."""
    found: list[Row] = []
    for scheme, of_tiers in tiers.items():
        for tier, mean in of_tiers.items():
            where: dict[str, Any] = {"subject": tier, "variant": f"{group}, {scheme}", "scope": scope, "client": client}
            reason = "no class of the tier has it"
            found += [
                measured(f"tier_{score}", getattr(mean, score), reason, n=mean.present, **where) for score in SCORES
            ]
    return found
