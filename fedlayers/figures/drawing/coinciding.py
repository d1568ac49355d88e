"""Lines that lie on each other: the one below would be taken for missing, and is drawn wider."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke

NOTE = "wide below thin: lines that coincide"
# So near, as a share of the axis' height, that one line hides another; of its width, that two places are one.
_NEAR, _SAME = 0.004, 1e-6
_WIDER, _LARGER = 2.6, 2.6
# Below more lines than these none gets any wider, or it would cover what else is drawn.
_MOST_WIDER = 3


def show_coinciding(figure: Figure) -> bool:
    """Draw lines wider all of whose points are those of a later one of the same axes; say whether there are some.

    Args:
        figure: with all of its lines; axes have their scales.
    """
    found = [_widened(axes, _lines_of(axes)) for axes in figure.axes]
    return any(found)


def coinciding_sign() -> Line2D:
    """Return how a line that coincides with another one looks, for a legend."""
    effects = [Stroke(linewidth=1.5 + _WIDER, foreground="#bbbbbb"), Normal()]
    return Line2D([], [], color="#333333", lw=1.5, path_effects=effects)


def _lines_of(axes: Axes) -> list[Line2D]:
    """Return the lines with a name of their own: of those that are all "one client" nobody misses one."""
    handles, names = axes.get_legend_handles_labels()
    own = [handle for handle, name in zip(handles, names, strict=True) if names.count(name) == 1]
    lines = [handle[0] if isinstance(handle, ErrorbarContainer) else handle for handle in own]
    return [line for line in lines if isinstance(line, Line2D)]


def _widened(axes: Axes, lines: Sequence[Line2D]) -> bool:
    # Limits are as wide as what is drawn once somebody asks for them.
    axes.get_xlim(), axes.get_ylim()
    points = [_points(axes, line) for line in lines]
    depths = np.zeros(len(lines), int)
    for at in reversed(range(len(lines))):
        over = [depths[other] for other in range(at + 1, len(lines)) if _hides(points[other], points[at])]
        depths[at] = 1 + max(over) if over else 0
    for line, depth in zip(lines, depths, strict=True):
        times = min(depth, _MOST_WIDER)
        line.set_linewidth(line.get_linewidth() + _WIDER * times)
        line.set_markersize(line.get_markersize() + _LARGER * times)
    return bool(depths.any())


def _points(axes: Axes, line: Line2D) -> np.ndarray:
    """Return the finite points of a line as shares of the axes' width and height, by width."""
    data: Any = np.column_stack([line.get_xdata(orig=False), line.get_ydata(orig=False)])
    shares = (axes.transScale + axes.transLimits).transform(data)
    found: np.ndarray = shares[np.isfinite(data).all(axis=1) & np.isfinite(shares).all(axis=1)]
    return found[np.argsort(found[:, 0], kind="stable")]


def _hides(upper: np.ndarray, lower: np.ndarray) -> bool:
    if not len(lower) or len(upper) < len(lower):
        return False
    place = np.searchsorted(upper[:, 0], lower[:, 0] - _SAME).clip(max=len(upper) - 1)
    return bool((np.abs(upper[place] - lower) <= (_SAME, _NEAR)).all())
