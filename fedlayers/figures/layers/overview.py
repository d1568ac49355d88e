"""All layer metrics of a run in small panels: the last round measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from fedlayers.core.quantities import Quantities
from fedlayers.figures.drawing.small_profiles import small_profiles
from fedlayers.figures.drawing.style import headline, legend_below
from fedlayers.figures.layers.profiles import draw_moments
from fedlayers.statistics.spread import band_name
from fedlayers.views.profiles import last_profiles


def layer_overview(
    records: pd.DataFrame, metrics: Sequence[str], facts: Mapping[str, Any], quantities: Quantities
) -> Figure:
    """Return a small layer profile of each metric, of its first variant and of the last round with values.

    Args:
        records: the run's records.
        metrics: some of :func:`fedlayers.views.profiles.layer_metrics`, at most ``PANELS_A_FIGURE``.
        facts: run facts.
        quantities: what is known of the metrics.
    """
    figure, drawn = small_profiles(last_profiles(records, metrics, facts), quantities, draw_moments)
    legend_below(figure, band_name(max(drawn)))
    headline(figure, facts, "last round measured")
    return figure
