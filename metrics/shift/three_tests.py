"""Three tests of a client against the others, each blind to what the other two look for."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from metrics.array_arguments import Array, as_tensor
from metrics.shift.permutations import permutation_p
from metrics.shift.records import ComparedRecords
from metrics.shift.separation import Separation

# Records that a class must have on either side to be looked at.
_FEW = 4
Within = Literal["class", "label", "vote"]


@dataclass(frozen=True)
class ShiftOfClass:
    """What one class adds to a difference.

    Attributes:
        effect: how large the difference is among the records of the class, 0 if there is none, in the test's terms; of
            proportions what the class adds to their distance.
        n: how many of the client's records of the class took part.
    """

    effect: float
    n: int


@dataclass(frozen=True)
class ShiftTest:
    """One test of a client against the others.

    Attributes:
        effect: how large the difference is, 0 if there is none; what it measures the test says.
        p: of "there is none", by permutation; NaN if nothing could be tested.
        n: how many of the client's records took part.
        reason: why nothing could be tested, else empty.
        classes: class -> what it adds, of those that took part.
    """

    effect: float
    p: float
    n: int
    reason: str = ""
    classes: Mapping[int, ShiftOfClass] = field(default_factory=dict)


def _untested(reason: str, n: int = 0) -> ShiftTest:
    return ShiftTest(math.nan, math.nan, n, reason)


def label_shift(counts: Array, others: Array, permutations: int = 999, seed: int = 0) -> ShiftTest:
    """Return whether a client's classes have other proportions than the others'.

    χ² of the 2 × C table against tables with the same margins (a permutation test: the labels of all records dealt out
    anew). The effect is the total variation distance ½ Σ |p_c − q_c|, 0 … 1.

    Args:
        counts: of the client's records in each class, shape (C,).
        others: of all others', shape (C,).
        permutations: random tables; the smallest p value is 1 / (1 + permutations).
        seed: of these.

    Raises:
        ValueError: they are no counts of the same classes.

    References:
        Agresti 2013, Categorical Data Analysis, ch. 3.5.

    Examples:
        >>> import numpy as np
        >>> found = label_shift(np.array([30, 5, 5]), np.array([100, 100, 100]))
        >>> round(found.effect, 2), found.p, label_shift(np.array([10, 10]), np.array([90, 90])).p
        (0.42, 0.001, 1.0)
    """
    own, rest = (
        as_tensor(part, name).double().cpu().numpy() for part, name in ((counts, "counts"), (others, "others"))
    )
    if own.ndim != 1 or own.shape != rest.shape or (own < 0).any() or (rest < 0).any():
        raise ValueError(f"counts and others must count the same classes, got {own.shape} and {rest.shape}")
    n, m = int(own.sum()), int(rest.sum())
    if not n or not m:
        return _untested("one side has no records", n)
    margins = (own + rest).astype(np.int64)
    present = margins > 0
    expected = n * margins[present] / (n + m)
    generator = np.random.default_rng(seed)

    def score(tables: np.ndarray) -> np.ndarray:
        # With the margins fixed, χ² rises with this.
        scores: np.ndarray = ((tables[:, present] - expected) ** 2 / expected).sum(1)
        return scores

    p = permutation_p(
        float(score(own[None])[0]),
        lambda count: score(generator.multivariate_hypergeometric(margins, n, count, method="marginals")),
        permutations,
    )
    parts = np.abs(own / n - rest / m) / 2
    held = np.flatnonzero(present).tolist()
    classes = {label: ShiftOfClass(float(parts[label]), int(own[label])) for label in held}
    return ShiftTest(float(parts.sum()), p, n, classes=classes)


def concept_shift(records: ComparedRecords, permutations: int, generator: np.random.Generator) -> ShiftTest:
    """Return whether a client's labels mean something else where its records look like the others'.

    Among records in the support of the reference, whether the label differs from the vote of the nearest records there;
    compared within each label, so that another mix of labels changes nothing. With z_c by how many standard deviations
    a label has more of them than its share: Σ max(0, z_c)², which is large whether a few labels mean something else or
    all do. Permutation of who is the client, within each label; one-sided. The effect is by how much the share of such
    records exceeds that of the others', 0 … 1.

    Args:
        records: of both sides.
        permutations: of the membership.
        generator: what they are drawn from.
    """
    wrong = records.votes != records.labels
    return _excess(records, wrong, records.supported, records.labels, permutations, generator, by_stratum=True)


def support_shift(records: ComparedRecords, permutations: int, generator: np.random.Generator) -> ShiftTest:
    """Return whether more of a client's records lie where the others have none, within each label and vote.

    As :func:`concept_shift`, of records out of the support.
    """
    everywhere = np.ones(len(records.labels), dtype=bool)
    return _excess(records, ~records.supported, everywhere, records.strata, permutations, generator)


def _excess(
    records: ComparedRecords,
    marked: np.ndarray,
    among: np.ndarray,
    strata: np.ndarray,
    permutations: int,
    generator: np.random.Generator,
    by_stratum: bool = False,
) -> ShiftTest:
    """Return whether a client has more marked records than its share of each stratum.

    Tested is their number, or with ``by_stratum`` the sum of the squares of what each stratum has too many, in standard
    deviations.
    """
    observed, expected, n = 0, 0.0, 0
    tables: list[tuple[int, int, int, int]] = []
    more: dict[int, list[tuple[float, int]]] = {}
    for stratum in np.unique(strata[among]):
        inside = among & (strata == stratum)
        own, all_marked = int((inside & records.is_client).sum()), int((inside & marked).sum())
        rest = int(inside.sum()) - own
        if own < 1 or rest < _FEW:
            continue
        seen = int((inside & marked & records.is_client).sum())
        usual = own * float((inside & marked & ~records.is_client).sum()) / rest
        observed, expected, n = observed + seen, expected + usual, n + own
        more.setdefault(int(records.labels[inside][0]), []).append((seen - usual, own))
        tables.append((seen, all_marked, own, rest))
    if n < _FEW:
        return _untested(f"too few of its records are comparable with the others', {n}", n)

    def value(counts: Sequence[np.ndarray]) -> np.ndarray:
        found: np.ndarray = np.zeros(len(counts[0]))
        for seen, (_, all_marked, own, rest) in zip(counts, tables, strict=True):
            found += _squared_excess(seen, all_marked, own, rest) if by_stratum else seen
        return found

    def drawn(count: int) -> np.ndarray:
        return value(
            [generator.hypergeometric(marks, own + rest - marks, own, count) for _, marks, own, rest in tables]
        )

    p = permutation_p(float(value([np.array([seen]) for seen, *_ in tables])[0]), drawn, permutations)
    classes = {label: _of_class(parts) for label, parts in more.items()}
    return ShiftTest(max(0.0, (observed - expected) / n), p, n, classes=classes)


def _squared_excess(counts: np.ndarray, marked: int, own: int, rest: int) -> np.ndarray:
    """Return max(0, z)², z how many standard deviations counts are above the mean of a hypergeometric distribution."""
    total = own + rest
    share = marked / total
    variance = own * share * (1 - share) * rest / (total - 1)
    found: np.ndarray = np.maximum(counts - own * share, 0.0) ** 2 / (variance or 1.0)
    return found


def _of_class(parts: list[tuple[float, int]]) -> ShiftOfClass:
    """Return the excess of a class, given excess and number of records of each stratum of it."""
    n = sum(size for _, size in parts)
    return ShiftOfClass(max(0.0, sum(excess for excess, _ in parts) / n), n)


def feature_shift(
    records: ComparedRecords, permutations: int, generator: np.random.Generator, within: Within = "class"
) -> ShiftTest:
    """Return whether a client's records of a class look unlike the others' of that class.

    A classifier two-sample test (:class:`metrics.shift.separation.Separation`): fitted to one half of a class's
    records and scored on the other, does it tell the client's from the others'? The effect is 2 AUC − 1 of the held-out
    scores, averaged over classes, 0 (none) … 1 (told apart always). Permutation of who is the client, within each
    class.

    Args:
        records: of both sides.
        permutations: of the membership, at most.
        generator: what halves, random features and permutations are drawn from.
        within: what is a class: ``class``, records whose label is what the nearest records of the reference say, so
            that neither proportions nor meaning of labels change anything; ``label``, where a shift of their meaning
            changes the records; ``vote``, what the nearest records say, where other proportions may.

    References:
        Lopez-Paz & Oquab 2017, Revisiting classifier two-sample tests, arXiv 1610.06545; Rahimi & Recht 2007, Random
        features for large-scale kernel machines, NIPS 20.
    """
    same = np.where(records.labels == records.votes, records.labels, -1)
    cells = {"class": same, "label": records.labels, "vote": records.votes}[within]
    parts: dict[int, Separation] = {}
    for label in np.unique(cells[cells >= 0]).tolist():
        own = records.is_client[cells == label]
        if min(own.sum(), (~own).sum()) >= _FEW:
            parts[label] = Separation.of(records.features[cells == label], own, generator)
    known = {label: (part, value) for label, part in parts.items() if not math.isnan(value := part.observed)}
    if not known:
        return _untested("too few of its records are comparable with the others' in any class")
    weight = sum(part.share for part, _ in known.values())
    observed = sum(part.share * value for part, value in known.values()) / weight

    def drawn(count: int) -> np.ndarray:
        scores: np.ndarray = np.zeros(count)
        for part, _ in known.values():
            scores += part.share / weight * part.permuted(count, generator)
        return scores

    sizes = {label: int(part.own.sum()) for label, (part, _) in known.items()}
    classes = {label: ShiftOfClass(max(0.0, value), sizes[label]) for label, (_, value) in known.items()}
    p = permutation_p(observed, drawn, permutations)
    return ShiftTest(max(0.0, observed), p, sum(sizes.values()), classes=classes)
