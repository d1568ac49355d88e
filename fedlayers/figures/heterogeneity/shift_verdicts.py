"""What kind of shift each client has: effects of the tests, and which kinds are named."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fedlayers.figures.drawing.axes import label_categories
from fedlayers.figures.drawing.style import PALETTE, headline, new_figure, shortened
from fedlayers.views.heterogeneity.verdicts import KINDS, verdicts

# Light to dark in print and for every kind of colour vision.
_COLOURS = ListedColormap(colormaps["YlGnBu"](np.linspace(0.03, 0.9, 256)))
_MOST_NUMBERED = 40
_ROW_IN = 0.34


def shift_verdicts(records: pd.DataFrame, facts: Mapping[str, Any]) -> Figure:
    """Return a table of clients by kinds of shift of the last round: effect and p value; what is named has a frame."""
    rows = verdicts(records, facts)
    names = list(dict.fromkeys(rows["client_name"]))
    height = min(max(_ROW_IN * len(names), 1.0), 12.0)
    figure = new_figure(5.4, height + 1.3)
    axes = figure.subplots()
    effects = rows["effect"].to_numpy(float).reshape(len(names), len(KINDS))
    image = axes.imshow(np.ma.masked_invalid(effects), cmap=_COLOURS, norm=Normalize(0, 1), aspect="auto")
    axes.set_facecolor("#dddddd")
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    axes.set_xticks(range(len(KINDS)), [f"{kind} shift" for kind in KINDS])
    label_categories(axes, names, inches=height, axis="y")
    axes.set_ylabel("client")
    for place, row in enumerate(rows.to_dict("records")):
        _cell(axes, place, row, numbered=len(names) <= _MOST_NUMBERED)
    figure.colorbar(image, ax=axes, label="effect (framed: named; grey: nothing can be said)", fraction=0.06, pad=0.03)
    headline(figure, facts, f"round {int(rows['round'].iloc[0])}")
    return figure


def _cell(axes: Axes, place: int, row: Mapping[Any, Any], numbered: bool) -> None:
    y, x = divmod(place, len(KINDS))
    if row["named"]:
        axes.add_patch(Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, fill=False, ec=PALETTE[1], lw=2.2))
    if numbered:
        effect = row["effect"]
        text = f"{effect:.2f}, p = {row['p']:.2g}" if np.isfinite(effect) else "–"
        if row["named"] and row["classes"]:
            text += f"\nmost in {shortened(', '.join(row['classes']), 22)}"
        axes.text(x, y, text, ha="center", va="center", fontsize=7, color="white" if effect > 0.5 else "black")
