"""Rows of disagreement: of all of a client's examples, and split by class, tier, and group of clients."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlayers.core.records import Row
from metrics.base import measured
from metrics.class_performance.tiers import percentile_tiers
from metrics.disagreement.null_level import excess_disagreement
from metrics.disagreement.per_record import RecordDisagreement

SCOPE = "client_train"
LOCAL = ("disagreement", "disagreement_js", "confidence_gap")
# What a client sends of each class: its examples, those on which the models disagree, and those of the null level.
COUNTS = "disagreements"


def disagreement_rows(found: RecordDisagreement, null: RecordDisagreement | None) -> Iterator[Row]:
    """Yield the means over all examples, each beside its null level where there is one."""
    for name, part in zip(LOCAL, ("hard", "divergence", "confidence"), strict=True):
        values = getattr(found, part).double()
        against = {} if null is None else beside(values, getattr(null, part).double(), signed=part == "confidence")
        yield _mean(name, values, against)


def class_rows(
    found: RecordDisagreement, null: RecordDisagreement | None, labels: Tensor, classes: Sequence[str]
) -> Iterator[Row]:
    """Yield the share of disagreement of each class of which there are examples, and of each tier by their numbers."""
    held = {classes[label]: int(count) for label, count in enumerate(torch.bincount(labels)) if count}
    tiers = percentile_tiers(held)
    for label, name in enumerate(classes):
        if name in held:
            yield _share("disagreement_by_class", found, null, labels == label, subject=name)
    of_tier = np.array([tiers[classes[label]] for label in labels.tolist()])
    for tier in dict.fromkeys(tiers.values()):
        inside = torch.from_numpy(of_tier == tier)
        yield _share("disagreement_by_tier", found, null, inside, subject=tier, variant="own_percentile")


def class_counts(
    found: RecordDisagreement, null: RecordDisagreement | None, labels: Tensor, classes: int
) -> np.ndarray:
    """Return the numbers of each class that :data:`COUNTS` names, shape (C, 3), int64; -1 where nothing is known."""
    parts = [torch.ones_like(labels, dtype=torch.bool), found.hard.cpu(), None if null is None else null.hard.cpu()]
    columns = [
        torch.full((classes,), -1) if part is None else torch.bincount(labels[part], minlength=classes)
        for part in parts
    ]
    return torch.stack(columns, 1).long().numpy()


def tier_rows(counts: Mapping[int, np.ndarray]) -> Iterator[Row]:
    """Yield each client's share of disagreement in head, medium and tail, by the examples of all clients.

    Args:
        counts: client -> what :func:`class_counts` returned.

    Example:
        >>> counts = {0: np.array([[90, 9, -1], [6, 3, -1], [4, 2, -1]])}
        >>> [(row.subject, row.value, row.n) for row in tier_rows(counts)]
        [('head', 0.1, 90), ('medium', 0.5, 6), ('tail', 0.5, 4)]
    """
    total = sum(counts.values(), np.zeros((1, 3), np.int64))[:, 0]
    tiers = percentile_tiers({str(label): int(n) for label, n in enumerate(total) if n})
    for client, own in counts.items():
        for tier in dict.fromkeys(tiers.values()):
            inside = own[[label for label in range(len(own)) if tiers.get(str(label)) == tier]].sum(0)
            if inside[0]:
                address: dict[str, Any] = {"client": client, "owner": "client", "variant": "percentile"}
                yield _of_counts("disagreement_by_tier", inside, subject=tier, **address)


def group_rows(counts: Mapping[int, np.ndarray], groups: Mapping[int, str]) -> Iterator[Row]:
    """Yield the share of disagreement over all examples of each group of clients.

    Args:
        counts: client -> what :func:`class_counts` returned.
        groups: client -> its group's name.

    Example:
        >>> counts = {0: np.array([[8, 2, 1]]), 1: np.array([[2, 0, 0]]), 2: np.array([[4, 3, 1]])}
        >>> [(row.subject, row.value, row.chance) for row in group_rows(counts, {0: "a", 1: "a", 2: "b"})]
        [('a', 0.2, 0.1), ('b', 0.75, 0.25)]
    """
    for group in sorted({*groups.values()}):
        inside = sum((counts[one].sum(0) for one in counts if groups.get(one) == group), np.zeros(3, np.int64))
        if inside[0]:
            yield _of_counts("disagreement_by_group", inside, subject=group)


def beside(values: Tensor, null: Tensor, signed: bool = False) -> dict[str, Any]:
    """Return the columns ``chance`` and ``p`` of values beside those of the null level, on the same examples.

    Args:
        values: on each example.
        null: of two models that differ by their seed only.
        signed: whether there is no direction in which chance would be less, so that nothing is tested.

    Example:
        >>> beside(torch.tensor([1.0, 1, 1, 0, 1, 1, 1, 1]), torch.tensor([0.0, 0, 1, 0, 0, 0, 0, 0]))
        {'chance': 0.125, 'p': 0.015625}
    """
    excess = excess_disagreement(values, null)
    return {"chance": excess.null, "p": None if signed or math.isnan(excess.p) else excess.p}


def _share(
    name: str, found: RecordDisagreement, null: RecordDisagreement | None, inside: Tensor, **address: Any
) -> Row:
    values = found.hard.cpu()[inside].double()
    against = {} if null is None else beside(values, null.hard.cpu()[inside].double())
    return _mean(name, values, {**against, **address})


def _mean(name: str, values: Tensor, columns: Mapping[str, Any]) -> Row:
    stderr = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else None
    return measured(name, float(values.mean()), scope=SCOPE, n=len(values), stderr=stderr, **columns)


def _of_counts(name: str, counts: np.ndarray, **address: Any) -> Row:
    """Return the share of counted disagreements, with the standard error of a share."""
    n, share = int(counts[0]), float(counts[1] / counts[0])
    # A null level is known of all clients or of none.
    chance = float(counts[2] / counts[0]) if counts[2] >= 0 else None
    stderr = math.sqrt(share * (1 - share) / (n - 1)) if n > 1 else None
    return measured(name, share, scope=SCOPE, n=n, stderr=stderr, chance=chance, **address)
