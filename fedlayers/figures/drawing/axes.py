"""Labels of axes: categories, layers, rounds."""

from collections.abc import Sequence
from itertools import count
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fedlayers.figures.drawing.style import shortened
from fedlayers.views.places import LayerAxis


def label_categories(axes: Axes, labels: Sequence[str], inches: float, axis: str = "x") -> None:
    """Label the places 0, 1, … of an axis; labels turn when they are long and thin out when they are many.

    Args:
        axes: where.
        labels: one for each place.
        inches: the length of the axis.
        axis: ``x`` or ``y``.
    """
    shown = [shortened(text) for text in labels]
    longest = max((len(text) for text in shown), default=0)
    flat_in = 0.075 * longest + 0.08
    turn: dict[str, Any] = {}
    needed_in = 0.15
    if axis == "x" and (longest <= 3 or flat_in * len(shown) <= inches):
        needed_in = flat_in
    elif axis == "x" and 0.27 * len(shown) <= inches:
        turn = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    elif axis == "x":
        turn = {"rotation": 90}
    places = list(range(0, len(shown), _step(needed_in * len(shown) / inches)))
    set_ticks = axes.set_xticks if axis == "x" else axes.set_yticks
    set_ticks(places, [shown[place] for place in places], **turn)


def _step(least: float) -> int:
    """Return the smallest of 1, 2, 5, 10, 20 … that is no less."""
    steps = (times * int(10**power) for power in count() for times in (1, 2, 5))
    return next(step for step in steps if step >= least - 1e-9)


def label_layers(axes: Axes, axis: LayerAxis, inches: float) -> None:
    """Write the names of the layers below an axes that is so many inches wide."""
    label_categories(axes, list(axis.names), inches=inches)
    axes.set_xlim(-0.5, len(axis.names) - 0.5)


def axis_width(layers: int) -> float:
    """Return how many inches wide an axes with so many layers is."""
    return min(max(0.25 * layers + 1.0, 3.6), 6.0)


def whole_rounds(axes: Axes) -> None:
    """Let the x axis have ticks at whole rounds: at each, or every 2nd, 5th, 10th and so on."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
