"""Gradients and weights of an epoch as rows of a run's tables."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fedlayers.core.layers import Layer
from fedlayers.core.quantities import Facts, LossFacts
from fedlayers.core.records import Record, Row, Spectrum
from metrics.base import at, measured
from metrics.training_dynamics.gradients.alarms import KINDS, Alarm
from metrics.training_dynamics.gradients.epoch_statistics import LayerEpoch
from metrics.training_dynamics.gradients.weight_histograms import WeightHistogram

_OWN = "own definition"
_PASCANU = "Pascanu et al. 2013, On the difficulty of training recurrent neural networks"
_YOU = "You et al. 2017, Large Batch Training of Convolutional Networks"
_INF = math.inf
FACTS = (
    LossFacts("step_gradient_norm", "nat", 0.0, _INF, "neutral", _PASCANU),
    LossFacts("step_gradient_norm_max", "nat", 0.0, _INF, "neutral", _PASCANU),
    LossFacts("step_gradient_rms", "nat", 0.0, _INF, "neutral", _OWN),
    Facts("step_weight_norm", "1", 0.0, _INF, "neutral", _OWN),
    Facts("update_ratio", "1", 0.0, _INF, "neutral", _YOU),
    Facts("dead_unit_share", "1", 0.0, 1.0, "lower", "Lu et al. 2020, Dying ReLU and Initialization"),
    Facts("gradient_alarms", "1", 0.0, _INF, "lower", _OWN),
    Facts("gradient_alarm_epoch", "epoch", 1.0, _INF, "neutral", _OWN),
    Facts("norm", "1", 0.0, _INF, "neutral", "Euclidean norm of a layer's parameters"),
    Facts("weight_histogram", "1", 0.0, _INF, "neutral", _OWN),
)


def gradient_rows(
    layers: Sequence[Layer],
    statistics: Mapping[str, LayerEpoch],
    weights: Mapping[str, WeightHistogram],
    alarms: Sequence[Alarm],
) -> list[Row]:
    """Return one epoch's rows: means over steps with standard errors, alarms by kind, curves, histograms."""
    found: list[Row] = []
    counts = Counter((alarm.kind, alarm.layer) for alarm in alarms)
    for layer in layers:
        where = at(layer)
        if (one := statistics.get(layer.name)) is not None:
            norm = one.norm
            none = "no finite gradient" if norm.not_finite else "no gradient: the layer is not trained"
            mean, most = (norm.mean, norm.high) if norm.n else (math.nan, math.nan)
            error = norm.sd / math.sqrt(norm.n) if norm.n > 1 else None
            rms = one.rms.mean if one.rms.n else math.nan
            found += [
                measured("step_gradient_norm", mean, none, stderr=error, n=norm.n, **where),
                measured("step_gradient_norm_max", most, none, **where),
                measured("step_gradient_rms", rms, none, n=one.rms.n, **where),
            ]
            for name, own in (
                ("update_ratio", one.update_ratio),
                ("step_weight_norm", one.weight_norm),
                ("dead_unit_share", one.dead_share),
            ):
                if own.n:
                    found.append(measured(name, own.mean, n=own.n, **where))
            found += [Record("gradient_alarms", counts[kind, layer.name], subject=kind, **where) for kind in KINDS]
            # Of one window it would say the mean again.
            if len(one.curve) > 1:
                steps, norms = zip(*one.curve, strict=True)
                found.append(Spectrum("step_gradient_norm", list(map(float, steps)), list(norms), n=norm.n, **where))
        if (histogram := weights.get(layer.name)) is not None:
            found.append(measured("norm", histogram.norm, "weights are not finite", **where))
            found.append(histogram_row(histogram, **where))
    return found


def histogram_row(histogram: WeightHistogram, **columns: Any) -> Row:
    """Return a layer's weights as a curve: the middles of the bins and how many weights are in each."""
    middles = (histogram.edges[1:] + histogram.edges[:-1]) / 2
    return Spectrum("weight_histogram", middles.tolist(), histogram.counts.astype(float).tolist(), **columns)
