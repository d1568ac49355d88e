"""Rows of what kind of shift clients have, and groups of them: tests, what is named, and which classes it lies in."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fedlayers.core.records import Row, missing
from metrics.base import measured
from metrics.class_performance.tiers import percentile_tiers
from metrics.heterogeneity.disagreements import SCOPE
from metrics.shift.records import LabelledRecords
from metrics.shift.three_tests import ShiftTest
from metrics.shift.verdict import ShiftVerdict, shift_verdicts

KINDS = ("label", "feature", "concept")


def shift_missing(kind: str, reason: str, client: int) -> Row:
    """Return the row of a shift that could not be looked for."""
    return missing(f"{kind}_shift", reason, scope=SCOPE, client=client, owner="client")


def shift_rows(clients: Mapping[int, LabelledRecords], classes: Sequence[str], seed: int) -> Iterator[Row]:
    """Yield the tests of each client and kind, whether it is named, and what each class and tier adds."""
    counts = np.bincount(np.concatenate([one.labels for one in clients.values()]), minlength=len(classes))
    tiers = percentile_tiers({str(label): int(n) for label, n in enumerate(counts) if n})
    for client, verdict in shift_verdicts(clients, len(classes), seed=seed).items():
        for kind in KINDS:
            if kind in verdict.unknown:
                yield shift_missing(kind, verdict.unknown[kind], client)
                continue
            test = verdict.tests[kind]
            address: dict[str, Any] = {"scope": SCOPE, "client": client, "owner": "client"}
            yield measured(f"{kind}_shift", test.effect, p=verdict.adjusted[kind], n=test.n, **address)
            yield measured("shift_named", float(kind in verdict.kinds), subject=kind, n=test.n, **address)
            yield from _parts(kind, test, classes, tiers, address)


def _parts(
    kind: str, test: ShiftTest, classes: Sequence[str], tiers: Mapping[str, str], address: Mapping[str, Any]
) -> Iterator[Row]:
    for label, one in sorted(test.classes.items()):
        yield measured("shift_by_class", one.effect, subject=classes[label], variant=kind, n=one.n, **address)
    for tier in dict.fromkeys(tiers.values()):
        inside = [one for label, one in test.classes.items() if tiers.get(str(label)) == tier]
        n = sum(one.n for one in inside)
        if n:
            # Proportions add up, other effects are means over examples.
            parts = [one.effect if kind == "label" else one.effect * one.n / n for one in inside]
            yield measured("shift_by_tier", sum(parts), subject=tier, variant=kind, n=n, **address)


def group_shift_rows(
    clients: Mapping[int, LabelledRecords], groups: Mapping[int, str], classes: int, seed: int
) -> Iterator[Row]:
    """Yield the same tests of groups of clients, each against all others together; none of fewer than two groups.

    A group with more than half of all examples is what the others are compared with: of it nothing is said.

    Args:
        clients: client -> its records.
        groups: client -> its group's name.
        classes: how many there are.
        seed: decides on everything random.
    """
    names = sorted({groups[client] for client in clients if client in groups})
    if len(names) < 2:
        return
    together = {
        place: _together([clients[c] for c in clients if groups.get(c) == name]) for place, name in enumerate(names)
    }
    sizes = [len(one.labels) for one in together.values()]
    for place, verdict in shift_verdicts(together, classes, seed=seed).items():
        most = 2 * sizes[place] > sum(sizes)
        yield from _of_group(
            names[place], verdict, "it is most of all examples: the others differ from it" if most else ""
        )


def _of_group(name: str, verdict: ShiftVerdict, why_not: str) -> Iterator[Row]:
    for kind in KINDS:
        address: dict[str, Any] = {"subject": name, "variant": kind, "scope": SCOPE}
        if reason := why_not or verdict.unknown.get(kind):
            yield missing("shift_by_group", reason, **address)
            continue
        test = verdict.tests[kind]
        yield measured("shift_by_group", test.effect, p=verdict.adjusted[kind], n=test.n, **address)
        yield measured("group_shift_named", float(kind in verdict.kinds), n=test.n, **address)


def _together(parts: Sequence[LabelledRecords]) -> LabelledRecords:
    features, labels = ([getattr(one, name) for one in parts] for name in ("features", "labels"))
    return LabelledRecords(np.concatenate(features), np.concatenate(labels))
