"""What is read off a stage through its class anchors, and through those of the next stage."""

from dataclasses import replace
from functools import partial

from torch import Tensor

from fedlayers.core.anchors import Anchors
from fedlayers.objectives.ace import VARIANTS
from metrics.readouts.anchors.anchor_accuracy import anchor_hits
from metrics.readouts.anchors.anchor_alignment import anchor_cosines
from metrics.readouts.anchors.anchor_cross_entropy import anchor_log_probabilities
from metrics.readouts.anchors.anchor_margin import anchor_margins
from metrics.readouts.labelled_mean import labelled_mean
from metrics.readouts.probe_labels import ProbeLabels
from metrics.readouts.reading import Reading, undefined
from metrics.readouts.shuffled_pairs import paired_mean
from metrics.statistics.score_errors import accuracy_error

OF_ONE = (
    "anchor_accuracy",
    "anchor_cross_entropy",
    "anchor_cross_entropy_plain",
    "anchor_alignment",
    "anchor_margin",
)
OF_TWO = tuple(f"ace_{variant}" for variant in VARIANTS)


def anchor_readings(rows: Tensor, anchors: Anchors, labels: ProbeLabels) -> dict[str, Reading]:
    """Return how well the anchors tell the labels of a stage's representation.

    Args:
        rows: h, shape (n, d), finite.
        anchors: of the stage.
        labels: of the n examples.
    """
    reason = _why_undefined(rows, anchors) or labels.reason
    if reason:
        return undefined(OF_ONE, reason)
    wide = rows.double()
    scores, cosines = anchors.similarities(wide), anchor_cosines(wide, anchors.rows(wide))
    sharp, plain = (anchor_log_probabilities(scores, one) for one in (anchors.temperature, 1.0))
    of = partial(labelled_mean, labellings=labels.labellings)
    found = (
        of(anchor_hits(scores)),
        of(-sharp, direction="lower"),
        of(-plain, direction="lower"),
        of(cosines),
        of(anchor_margins(cosines)),
    )
    hits = float(found[0].value) * len(rows)
    return dict(zip(OF_ONE, (replace(found[0], stderr=accuracy_error(hits, len(rows))), *found[1:]), strict=True))


def ace_readings(
    rows: Tensor, anchors: Anchors, next_rows: Tensor, next_anchors: Anchors, orders: Tensor
) -> dict[str, Reading]:
    """Return how far a stage's prediction through its anchors is from the next one's.

    Args:
        rows: h of the stage, shape (n, d), finite.
        anchors: of the stage.
        next_rows: h of the next stage, likewise.
        next_anchors: of that.
        orders: of the examples, shape (s, n), for the null.
    """
    reason = _why_undefined(rows, anchors) or _why_undefined(next_rows, next_anchors)
    if reason:
        return undefined(OF_TWO, reason)
    own, following = (
        anchor_log_probabilities(one.similarities(h.double()), one.temperature)
        for h, one in ((rows, anchors), (next_rows, next_anchors))
    )
    return {
        name: paired_mean(divergence, own, following, orders)
        for name, divergence in zip(OF_TWO, VARIANTS.values(), strict=True)
    }


def _why_undefined(rows: Tensor, anchors: Anchors) -> str | None:
    if not bool(anchors.rows(rows).isfinite().all()):
        return "its anchors are not finite"
    if anchors.classes < 2:
        return "there is one class only"
    return None if bool(rows.any()) else "its output is zero for all examples: it has no direction"
