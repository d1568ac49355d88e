"""One line of a layer profile: a mean with its band, or single values with their standard errors."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fedlayers.figures.drawing.style import BAND_ALPHA
from fedlayers.statistics.spread import Spread

_HALF_PLACE = 0.05


@dataclass(frozen=True)
class Look:
    """How a line looks.

    Attributes:
        colour, marker: as matplotlib takes them.
        single: whether it is one thing rather than a mean over many: dashed, with open markers and no band.
        shift: to the right, in places; side by side, lines that agree do not hide each other.
    """

    colour: str
    marker: str
    single: bool = False
    shift: float = 0.0


def side_by_side(number: int, lines: int) -> float:
    """Return the shift of one of several lines, in places: 0.12 from one to the next, at most 0.25 to either side."""
    return min(0.12, 0.5 / max(lines - 1, 1)) * (number - (lines - 1) / 2)


def draw_profile(axes: Axes, spread: Spread, lined: np.ndarray, label: str, look: Look) -> None:
    """Draw one line of a layer profile.

    Args:
        axes: where.
        spread: along the places of layers.
        lined: the places at which the line has a gap if there is no value.
        label: of the line; " ± 1 standard error" is added if there are some.
        look: how.
    """
    # Layers without a value leave a gap in the line instead of being bridged.
    places = lined[(lined >= spread.x.min()) & (lined <= spread.x.max())]
    mean, low, high, stderr = (
        pd.Series(column, index=spread.x).reindex(places).to_numpy()
        for column in (spread.mean, spread.low, spread.high, spread.stderr)
    )
    has_error = bool(np.isfinite(stderr).any())
    axes.errorbar(
        places + look.shift,
        mean,
        stderr if has_error else None,
        label=label + (" ± 1 standard error" if has_error else ""),
        color=look.colour,
        marker=look.marker,
        ls="--" if look.single else "-",
        mfc="white" if look.single else look.colour,
        capsize=2,
        elinewidth=1,
    )
    if not look.single:
        # A band of one layer would have no width.
        side = np.array([-_HALF_PLACE, _HALF_PLACE]) if len(places) == 1 else np.zeros(len(places))
        ends = np.broadcast_to(low, side.shape), np.broadcast_to(high, side.shape)
        axes.fill_between(places + look.shift + side, *ends, color=look.colour, alpha=BAND_ALPHA, lw=0)
