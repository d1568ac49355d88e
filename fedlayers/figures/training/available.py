"""The figures of training: classes by tier, gradients and weights, attention, what it took; of a run or a tracker."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fedlayers.figures.drawing.drawable import Drawing
from fedlayers.figures.training.attention import attention_figures
from fedlayers.figures.training.batch_sizes import batch_size_figures
from fedlayers.figures.training.class_scores import class_figures
from fedlayers.figures.training.drawn import drawn
from fedlayers.figures.training.dynamics import dynamics_figures
from fedlayers.figures.training.resources import resource_figures
from fedlayers.figures.training.rows import rows_of
from fedlayers.runs.reading.tables import Tables

# What metrics=[dynamics] alone measures, not metrics=[gradients,weights].
_FOLLOWED = "step_gradient_norm"
_ON_REQUEST = ("gradient_correlation", "update_ratio", "weight_norm_changes")


def training_figures(tables: Tables, facts: Mapping[str, Any]) -> list[Drawing]:
    """Return what can be drawn of a run's training, or of a training of one's own that a tracker wrote down.

    Args:
        tables: of the run.
        facts: from ``run.json``; only of a federation they have stretches of rounds.
    """
    is_federation = "stretches" in facts
    found: dict[str, Callable[[], Any]] = {**class_figures(tables), **dynamics_figures(tables)}
    attention = attention_figures(tables)
    # Of every layer there are three: those of the first are drawn without being asked for.
    later = [*attention][4:]
    flow = () if len(rows_of(tables.records, _FOLLOWED)) else ("gradient_flow",)
    beside = {*_ON_REQUEST, *later, *flow}
    drawings = [
        Drawing(name, partial(drawn, make, is_federation), main=name not in beside)
        for name, make in {**found, **attention}.items()
    ]
    swept = [Drawing(name, partial(drawn, make, False)) for name, make in batch_size_figures(tables.path).items()]
    return [*drawings, *resource_figures(tables.resources, is_federation), *swept]
