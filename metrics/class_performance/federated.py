"""Class performance in a federation: each client's classes and tiers, by its own and by everybody's counts."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fedlayers.core.kinds.labels import is_label_set, occurrences
from fedlayers.core.records import MOMENTS, Row
from metrics.base import ClientView, Measurement, Metric, ServerView, measured
from metrics.class_performance.counting import results_of
from metrics.class_performance.label_groups import SINGLE, answers_of
from metrics.class_performance.rows import FACTS, class_rows, tier_rows
from metrics.class_performance.scores import SCORES, ClassResult, tier_results
from metrics.class_performance.tiers import schemes
from metrics.predictions.predicting import Predictions, predictions_of

# Label group -> places of its labels in the outputs.
Groups = Mapping[str, Sequence[int]]


class ClassPerformance(Metric):
    """Precision, recall, F1 and average precision of every class and tier, of each client's model on its own examples.

    ``subject`` is the class or the tier; ``variant`` is ``classes``, or the label group where several labels hold.
    Tiers are by the client's own training counts (``own_percentile``, ``own_threshold``) and by those of all clients
    that replied (``percentile``, ``threshold``), see :mod:`metrics.class_performance.tiers`. A class without examples
    is missing, and in no mean. Average precision is of scores in bins, see
    :mod:`metrics.class_performance.score_histograms`.

    Args:
        splits: some of ``train``, ``val``, ``test``.
        rounds, moments: see :class:`metrics.base.Metric`.
    """

    facts = FACTS
    on_server = True
    repeats = True

    def __init__(
        self,
        splits: Sequence[str] = ("test",),
        rounds: Sequence[str | int] = ("first", "last"),
        moments: Sequence[str] = MOMENTS,
    ) -> None:
        super().__init__(rounds, moments)
        if not splits or {*splits} - {"train", "val", "test"}:
            raise ValueError(f"splits must be one or more of train, val, test, got {list(splits)}")
        self.scopes = tuple(f"client_{split}" for split in splits)

    def client(self, view: ClientView) -> Measurement:
        """Measure one client's model; counts go to the server, for tiers by everybody's training examples."""
        groups = groups_of(view.classes, view.label_groups)
        own = training_counts(view)
        found = Measurement(payload={} if own is None else {"counts": own})
        for scope in ("server_test",) if "server_test" in view.data else self.scopes:
            predictions = predictions_of(view, scope)
            if predictions is None or predictions.unusable:
                reason = f"no examples in {scope}" if predictions is None else "outputs are NaN or infinite"
                found.rows += [measured(f"class_{score}", math.nan, reason, scope=scope) for score in SCORES]
                continue
            for group, results in _results(predictions, groups, view.classes).items():
                found.rows += class_rows(group, results, {}, scope)
                if own is not None:
                    found.rows += _tiers(group, results, own[list(groups[group])], "own_", scope)
                found.payload[f"{scope}/{group}"] = _packed(results, groups[group], view.classes)
        return found

    def server(self, view: ServerView) -> Measurement:
        """Return each client's tiers by the training counts of all clients that replied."""
        sent = {client: arrays for client, arrays in view.payloads.items() if "counts" in arrays}
        rows: list[Row] = []
        if not sent:
            return Measurement()
        total = np.sum([arrays["counts"] for arrays in sent.values()], axis=0)
        for client, arrays in sent.items():
            for key, packed in arrays.items():
                if key != "counts":
                    scope, _, group = key.partition("/")
                    results, places = _unpacked(packed)
                    rows += _tiers(group, results, total[places], "", scope, client)
        return Measurement(rows)


def groups_of(classes: Sequence[str], label_groups: Sequence[str]) -> Groups:
    """Return the label groups and where their labels are: one of all classes, unless labels are in groups."""
    found: dict[str, list[int]] = {}
    for at, group in enumerate(label_groups or [SINGLE] * len(classes)):
        found.setdefault(group, []).append(at)
    return found


def training_counts(view: ClientView) -> np.ndarray | None:
    """Return the number of a client's training examples of each class, shape (C,); None on the server."""
    examples = view.data.get("client_train")
    return None if examples is None else occurrences(examples.targets(), len(view.classes)).long().numpy()


def _results(predictions: Predictions, groups: Groups, classes: Sequence[str]) -> dict[str, dict[str, ClassResult]]:
    """Return label group -> class -> its scores."""
    several = is_label_set(predictions.labels)
    found = {}
    for group, places in groups.items():
        logits, labels = predictions.logits, predictions.labels
        if several:
            own = list(places)
            logits, labels = (logits - predictions.threshold)[:, own], labels[:, own]
        answers = answers_of(group, logits, labels, len(places))
        found[group] = results_of(answers, [classes[at] for at in places])
    return found


def _tiers(
    group: str,
    results: Mapping[str, ClassResult],
    counts: np.ndarray,
    prefix: str,
    scope: str,
    client: int | None = None,
) -> list[Row]:
    held = dict(zip(results, counts.tolist(), strict=True))
    by_scheme = schemes(list(results), None, held if not prefix else None, held if prefix else None)
    found = {scheme: tier_results(results, tiers, with_curves=False) for scheme, tiers in by_scheme.items()}
    return tier_rows(group, found, scope, client)


def _packed(results: Mapping[str, ClassResult], places: Sequence[int], classes: Sequence[str]) -> np.ndarray:
    """Return a row a class: its place, its counts, its scores."""
    return np.array(
        [
            [
                at,
                one.true_positives,
                one.false_positives,
                one.false_negatives,
                one.precision,
                one.recall,
                one.f1,
                one.ap,
            ]
            for at in places
            for one in [results[classes[at]]]
        ]
    )


def _unpacked(packed: np.ndarray) -> tuple[dict[str, ClassResult], list[int]]:
    """Return results by place in words, without curves, and the places."""
    places = [int(row[0]) for row in packed]
    nothing = np.full(0, math.nan)
    results = {}
    for place, row in zip(places, packed, strict=True):
        hits, false, missed = (int(count) for count in row[1:4])
        precision, recall, f1, ap = (float(score) for score in row[4:])
        results[str(place)] = ClassResult(hits, false, missed, precision, recall, f1, ap, math.nan, math.nan, nothing)
    return results, places
