"""Memory, times of components and throughput over rounds, in the shapes that trackers draw for their epochs."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from fedlayers.figures.drawing.drawable import Drawing
from fedlayers.figures.training.drawn import drawn
from fedlayers.views.training.resources import RoundResources, training_resources
from metrics.resource_usage.figures import component_shares, component_times, memory_usage, throughput

_Shape = Callable[[Sequence[RoundResources]], Any]
_SHAPES: Mapping[str, _Shape] = {
    "memory_usage": memory_usage,
    "component_times": component_times,
    "component_shares": component_shares,
    "throughput": throughput,
}


def resource_figures(resources: pd.DataFrame, is_federation: bool = True) -> list[Drawing]:
    """Return the figures of what training took; none where it was not measured.

    Args:
        resources: the table.
        is_federation: whether its rounds are rounds, not epochs of a training of one's own.
    """
    rounds = training_resources(resources)
    known = {
        "memory_usage": any(one.peak_host for one in rounds),
        "component_times": any(one.components for one in rounds),
        "component_shares": any(one.components for one in rounds),
        "throughput": any(one.throughput for one in rounds),
    }
    return [
        Drawing(name, partial(drawn, partial(shape, rounds), is_federation), main=True)
        for name, shape in _SHAPES.items()
        if known[name]
    ]
