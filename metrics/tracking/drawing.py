"""How figures of trackers look; matplotlib is imported when one is drawn, and nowhere else in this package."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

# Okabe & Ito 2008, Color universal design: told apart with every kind of colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
TIER_COLOURS = {"head": "#D55E00", "medium": "#0072B2", "tail": "#009E73", "unknown": "#888888"}
_LOOK = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "legend.fontsize": 8.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
}
_LONGEST = 36


def look() -> AbstractContextManager[Any]:
    """Return the settings under which a figure is made and saved; those of the caller are as before afterwards."""
    from matplotlib import rc_context

    return rc_context(_LOOK)  # type: ignore[arg-type]


def panels(rows: int = 1, columns: int = 1, size: tuple[float, float] = (4.5, 3.0), **shared: Any) -> tuple[Any, Any]:
    """Return a figure without a window and its axes, shape (rows, columns); ``size`` of a panel in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained", dpi=150)
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


def save(figure: Any, path: Path) -> Path:
    """Write a figure as a PNG file, making its folder, and return where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # What stands beside the axes belongs to the picture.
    figure.savefig(path, bbox_inches="tight", pad_inches=0.08)
    return path


def short(name: str, longest: int = _LONGEST) -> str:
    """Return a name cut in its middle; legends leave out what begins with an underscore, so that a space goes before.

    >>> short("encoder.layers.11.self_attn.out_proj", 20)
    'encoder.l…n.out_proj'
    """
    name = f" {name}" if name.startswith("_") else name
    if len(name) <= longest:
        return name
    tail = (longest - 1 + 1) // 2
    return f"{name[: longest - 1 - tail]}…{name[-tail:]}"


def file_name(name: str) -> str:
    """Return a name as a part of a file's: letters, digits, dots, dashes and underscores.

    >>> file_name("my labels/2")
    'my_labels_2'
    """
    return "".join(letter if letter.isalnum() or letter in ".-_" else "_" for letter in name)


def label_bars(axes: Any, names: Sequence[str], most: int = 60) -> None:
    """Name the bars at 0, 1, … along the x axis: every one, or every k-th where there are more than ``most``."""
    step = -(-len(names) // most)
    places = range(0, len(names), step)
    turned = len(names) > 8 or max(map(len, names), default=0) > 8
    axes.set_xticks(places, [short(names[place]) for place in places], rotation=90 if turned else 0)
    axes.grid(visible=False, axis="x")


def whole_epochs(axes: Any) -> None:
    """Let the x axis have whole numbers only, as epochs are."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")


def from_zero(axes: Any) -> None:
    """Let the y axis begin at 0 and end above what is drawn, also where all values are nearly equal."""
    axes.set_ylim(0, max(axes.dataLim.ymax, 0) * 1.06 or 1)


def legend_beside(axes: Any, entries: int) -> None:
    """Put a legend of so many entries to the right of an axes, small and in columns where they are many."""
    size = 7.0 if entries > 12 else 8.0
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=size, ncols=1 + (entries - 1) // 24)


def line_colours(count: int) -> list[Any]:
    """Return a colour a line, in an order that shows: the palette for few, a scale from dark to light for many."""
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    from matplotlib import colormaps

    return list(colormaps["viridis"](np.linspace(0.0, 0.92, count)))
