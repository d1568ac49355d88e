"""All readings of a chain of stages, by quantity."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from fedlayers.core.anchors import Anchors
from metrics.compare.measures.cka import CKA
from metrics.geometry.chance import Chance
from metrics.geometry.principal_coordinates import why_undefined
from metrics.readouts.anchors import by_anchors
from metrics.readouts.halves import by_probe
from metrics.readouts.halves.half_smoother import HalfSmoother, half_smoothers
from metrics.readouts.halves.halves_probe import probe_probabilities
from metrics.readouts.halves.ridge_r2 import held_out_r2
from metrics.readouts.information import by_geometry
from metrics.readouts.jensen_shannon import jensen_shannon
from metrics.readouts.probe_labels import ProbeLabels
from metrics.readouts.reading import Reading, undefined
from metrics.readouts.shuffled_pairs import paired_mean

_FEWEST = 4
_PROBE_JS, _RIDGE, _CKA = "probe_js", "ridge_r2_next", "cka_previous"


@dataclass(frozen=True)
class Link:
    """One stage of a chain, with what all of its readings start from.

    Attributes:
        rows: h, shape (n, d), float32.
        anchors: of the stage.
        reason: why nothing can be read off it, None if something can.
        constant: why nothing can but what the anchors say.
        geometry: what the readings without labels start from, None if it is constant.
        smoothers: regressions from each half of the examples to the other; none if it is constant.
    """

    rows: Tensor
    anchors: Anchors
    reason: str | None
    constant: str | None
    geometry: by_geometry.Geometry | None
    smoothers: tuple[HalfSmoother, ...]

    @classmethod
    def of(
        cls, rows: Tensor, anchors: Anchors, reason: str | None, labels: ProbeLabels, examples_per_degree: float
    ) -> "Link":
        """Prepare one stage for reading.

        Args:
            rows: h, shape (n, d), float32.
            anchors: of the stage.
            reason: why nothing can be read off it, None if something can.
            labels: of the n examples.
            examples_per_degree: see :func:`metrics.readouts.halves.half_smoother.half_smoothers`.
        """
        few = f"{_FEWEST} examples or more are needed, got {len(rows)}" if len(rows) < _FEWEST else None
        reason = reason or few
        constant = reason or why_undefined(rows)
        if constant:
            return cls(rows, anchors, reason, constant, None, ())
        geometry = by_geometry.Geometry.of(rows)
        wide = rows.shape[1] >= len(rows)
        smoothers = half_smoothers(rows, labels.halves, examples_per_degree, geometry.products if wide else None)
        return cls(rows, anchors, reason, constant, geometry, smoothers)


def chain_readings(chain: Sequence[Link], inputs: Tensor | str, labels: ProbeLabels) -> list[dict[str, Reading]]:
    """Return the readings of every stage: of itself, and of it and its neighbours.

    Args:
        chain: the stages, in order.
        inputs: see :func:`metrics.readouts.information.by_geometry.input_components`.
        labels: of the examples.
    """
    found = [_of_one(link, inputs, labels) for link in chain]
    for place, (own, following) in enumerate(pairwise(chain)):
        found[place].update(_of_two(own, following, labels))
    for place, reading in enumerate(_cka(chain), 1):
        found[place][_CKA] = reading
    return found


def _of_one(link: Link, inputs: Tensor | str, labels: ProbeLabels) -> dict[str, Reading]:
    if link.reason:
        return undefined((*by_anchors.OF_ONE, *by_probe.OF_ONE, *by_geometry.OF_ONE), link.reason)
    found = by_anchors.anchor_readings(link.rows, link.anchors, labels)
    if link.geometry is None:
        return found | undefined((*by_probe.OF_ONE, *by_geometry.OF_ONE), str(link.constant))
    found |= by_geometry.geometry_readings(link.geometry, inputs, labels.orders)
    if labels.reason:
        return found | undefined(by_probe.OF_ONE, labels.reason)
    return found | by_probe.probe_readings(link.smoothers, labels)


def _of_two(own: Link, following: Link, labels: ProbeLabels) -> dict[str, Reading]:
    """Return what is read off a stage and the next one, at the former."""
    failed = own.reason or _of_next(following.reason)
    if failed:
        return undefined((*by_anchors.OF_TWO, _PROBE_JS, _RIDGE), failed)
    found = by_anchors.ace_readings(own.rows, own.anchors, following.rows, following.anchors, labels.orders)
    constant = own.constant or _of_next(following.constant)
    if constant:
        return found | undefined((_PROBE_JS, _RIDGE), constant)
    found[_RIDGE] = held_out_r2(own.smoothers, following.rows)
    if labels.reason:
        return found | undefined([_PROBE_JS], labels.reason)
    true, classes = labels.labellings[0], labels.classes
    predicted, after = (probe_probabilities(link.smoothers, true, classes) for link in (own, following))
    found[_PROBE_JS] = paired_mean(jensen_shannon, predicted, after, labels.orders)
    return found


def _cka(chain: Sequence[Link]) -> list[Reading]:
    """Return debiased CKA of every stage but the first with the one before it."""
    places = list(pairwise(range(len(chain))))
    reasons = {pair: chain[pair[1]].constant or _of_previous(chain[pair[0]].constant) for pair in places}
    compared = [pair for pair in places if reasons[pair] is None]
    if not compared:
        return [Reading(math.nan, reason=str(reasons[pair])) for pair in places]
    found = CKA().compare([link.rows for link in chain], compared, 0, 0)[0]
    columns = (found.value, found.stderr, found.chance, found.chance_hi, found.p)
    known = dict(zip(compared, zip(*(part.tolist() for part in columns if part is not None), strict=True), strict=True))
    read = {
        pair: Reading(value, _number(stderr), Chance(*map(_number, null)))
        for pair, (value, stderr, *null) in known.items()
    }
    return [read.get(pair) or Reading(math.nan, reason=str(reasons[pair])) for pair in places]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _of_next(reason: str | None) -> str | None:
    return reason and f"of the next stage: {reason}"


def _of_previous(reason: str | None) -> str | None:
    return reason and f"of the stage before: {reason}"
