"""Where disagreement comes from: its mean in groups of records, such as classes, tiers and clusters of clients."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metrics.array_arguments import Array, as_tensor


@dataclass(frozen=True)
class GroupDisagreement:
    """The disagreement on the records of one group.

    Attributes:
        group: its name, as it was given.
        value: the mean.
        stderr: its standard error over the group's records; NaN of one.
        n: how many records the group has.
        share: of all disagreement, in [0, 1]; NaN if there is none.
    """

    group: str
    value: float
    stderr: float
    n: int
    share: float


def disagreement_by_group(values: Array, groups: Sequence[object]) -> list[GroupDisagreement]:
    """Return the mean disagreement of every group, groups in the order of their first records.

    Args:
        values: the disagreement on each record, 0 or more, shape (n,).
        groups: the group of each record, n names or numbers: its class, ``[tiers[label] for label in labels]``, the
            cluster or the planted group of its client.

    Returns:
        A group an entry; n and the shares add up to those of all records.

    Raises:
        ValueError: there is not one group for each record.

    Examples:
        >>> import numpy as np
        >>> for found in disagreement_by_group(np.array([1, 0, 0, 1]), ["head", "head", "head", "tail"]):
        ...     print(found.group, round(found.value, 2), found.n, found.share)
        head 0.33 3 0.5
        tail 1.0 1 0.5
    """
    amounts = as_tensor(values, "values").double().cpu().numpy()
    names = [str(group.item() if hasattr(group, "item") else group) for group in groups]
    if amounts.ndim != 1 or len(names) != len(amounts):
        raise ValueError(f"groups must name one for each record, got {len(names)} for values of {amounts.shape}")
    total, found = float(amounts.sum()), []
    for group in dict.fromkeys(names):
        inside = amounts[np.array([name == group for name in names])]
        error = float(inside.std(ddof=1)) / math.sqrt(len(inside)) if len(inside) > 1 else math.nan
        share = float(inside.sum()) / total if total > 0 else math.nan
        found.append(GroupDisagreement(group, float(inside.mean()), error, len(inside), share))
    return found
