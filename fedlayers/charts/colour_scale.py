"""The scale of colours by which a heat map shows values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedlayers.core.quantities import Facts
from fedlayers.statistics.axis_scale import axis_scale
from fedlayers.statistics.decades import spans_decades
from fedlayers.statistics.scale_ends import scale_ends
from fedlayers.views.quantities import can_be_negative, value_of_itself


@dataclass(frozen=True)
class ColourScale:
    """A scale of colours; values beyond its ends have the colour of the end.

    Attributes:
        low, high: the values at its two ends.
        colours: ``sequential``, or ``diverging``: the middle is zero.
        is_reversed: whether low values are dark, as where a low one means alike.
        threshold: where equal steps are equal ratios on both sides of zero, up to which size they are not; else None.
    """

    low: float
    high: float
    colours: str = "sequential"
    is_reversed: bool = False
    threshold: float | None = None

    @classmethod
    def of_values(
        cls, values: Sequence[float] | np.ndarray, quantity: Facts, compares_things: bool = False
    ) -> "ColourScale":
        """Return the scale of a quantity's values, with the ends that figures give it, and the steps of their axes.

        Args:
            values: all that are compared, such as those of all rounds; not finite ones are left out.
            quantity: whose values.
            compares_things: whether values say how alike two things are: that of a thing with itself is an end then.
        """
        found = np.asarray(values, float)
        itself = value_of_itself(quantity) if compares_things else np.nan
        ends = scale_ends(found, np.full(found.shape, np.nan), quantity.limits, itself)
        axis = axis_scale(found, can_be_negative(quantity))
        return cls(*ends, is_reversed=itself == 0, threshold=axis.threshold if axis.kind == "symlog" else None)

    @classmethod
    def about_zero(cls, values: Sequence[float] | np.ndarray, most: float = np.inf) -> "ColourScale":
        """Return a diverging scale that reaches equally far to both sides of zero.

        Args:
            values: what it shows; not finite ones are left out.
            most: how far it reaches at most.
        """
        sizes = np.abs(np.asarray(values, float))
        largest = float(np.max(sizes[np.isfinite(sizes)], initial=0.0))
        end = min(largest, most) or 1.0
        return cls(-end, end, "diverging")

    def facts(self) -> Mapping[str, Any]:
        """Return what a page has to know; ``is_log`` says whether equal steps of colour are equal ratios."""
        ends = [float(self.low), float(self.high)]
        looks = {"colours": self.colours, "is_reversed": self.is_reversed, "threshold": self.threshold}
        return {"limits": ends, **looks, "is_log": spans_decades(ends)}
