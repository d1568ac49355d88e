"""Which layers are shared and why: every client's profile, the common one with its interval, and the transition."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.figures.drawing.small_multiples import label_borders, small_multiples
from fedlayers.figures.drawing.style import BAND_ALPHA, PALETTE, headline, legend_below, shortened
from fedlayers.views.plans.transitions import MeasuredTransition, plan_sentences, rises, round_of_choice, transitions

_GREY = "#999999"
# Room for a title that says why.
_TITLE_IN = 6.5


def layer_transition(records: pd.DataFrame, facts: Mapping[str, Any]) -> Figure:
    """Return a panel for each measure: rises over the layers, the threshold, and what comes before the transition.

    Grey lines are clients, the line with a band is the median over clients with its interval. Layers on the shaded side
    are those before the transition; without one nothing is shaded, and the title says why. The scale is linear up to
    the threshold, 1, and logarithmic above it.
    """
    rows, found = rises(records), transitions(records)
    figure, panels = small_multiples(len(found), (3.6, 2.6))
    figure.set_figwidth(max(figure.get_figwidth(), _TITLE_IN))
    names = rows.drop_duplicates("layer_index").sort_values("layer_index")
    places = {int(index): place for place, index in enumerate(names["layer_index"])}
    labels = [shortened(str(name), 12) for name in names["layer"]]
    for axes, one in zip(panels, found, strict=True):
        own = rows[rows["measure"] == one.measure]
        _draw_profiles(axes, own.assign(place=own["layer_index"].map(places)))
        _draw_transition(axes, one, len(labels))
        axes.set_xticks(range(len(labels)), labels, rotation=45 if len(labels) > 5 else 0)
    label_borders(panels, left="rise to the threshold")
    legend_below(figure, "band: interval of the median")
    said = plan_sentences(records)
    more = [*said[0].split(": "), f"and {len(said) - 1} other plans" if len(said) > 1 else ""] if said else []
    headline(figure, facts, f"round {round_of_choice(records)}", *more)
    return figure


def _draw_profiles(axes: Axes, rows: pd.DataFrame) -> None:
    for number, (_, own) in enumerate(rows[rows["client"].notna()].groupby("client")):
        axes.plot(own["place"], own["value"], color=_GREY, lw=0.8, label="clients" if number == 0 else None)
    common = rows[rows["client"].isna()]
    axes.plot(common["place"], common["value"], "o-", color=PALETTE[0], label="median over clients")
    axes.fill_between(common["place"], common["low"], common["high"], color=PALETTE[0], alpha=BAND_ALPHA, lw=0)
    axes.axhline(1, color=PALETTE[1], ls="--", lw=1, label="threshold")
    axes.set_yscale("symlog", linthresh=1)
    if len(rows):
        axes.set_ylim(min(-0.1, float(np.nanmin(rows["value"])) * 1.1), max(1.5, float(np.nanmax(rows["value"])) * 1.3))


def _draw_transition(axes: Axes, found: MeasuredTransition, layers: int) -> None:
    axes.set_xlim(-0.5, layers - 0.5)
    if found.last is None:
        axes.set_title(f"{found.measure}: no transition")
        return
    axes.axvspan(-0.5, found.shared - 0.5, color=PALETTE[2], alpha=BAND_ALPHA, lw=0, label="before the transition")
    for end in sorted({found.low, found.high} - {found.shared}):
        axes.axvline(end - 0.5, color=PALETTE[2], ls=":", lw=1, label="interval of the transition")
    axes.set_title(f"{found.measure}: after {found.last}")
