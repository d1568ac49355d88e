"""How all figures look: colours, sizes, names of moments, and the files they are saved to."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe & Ito 2008, Color universal design: told apart with every kind of colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
MOMENT_COLOURS: Mapping[str, str] = {
    "start": "#666666",
    "after_local": PALETTE[0],
    "after_aggregate": PALETTE[1],
    "final": PALETTE[2],
}
MOMENT_NAMES: Mapping[str, str] = {
    "start": "before training",
    "after_local": "after local training",
    "after_aggregate": "after aggregation",
    "final": "final",
}
MARKERS: Mapping[str, str] = {"start": "v", "after_local": "o", "after_aggregate": "s", "final": "D"}
SERVER_COLOUR = "#000000"
BAND_ALPHA = 0.2

RC: Mapping[str, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "legend.fontsize": 8.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "figure.titlesize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.0,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # TrueType, which journals accept and editors can search
    "savefig.dpi": 150,
}


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure of the given size in inches, laid out so that nothing overlaps."""
    return Figure(figsize=(width_in, height_in), layout="constrained")


def save(figure: Figure, folder: Path, name: str) -> Path:
    """Write ``name.png`` and ``name.pdf`` and return the PNG; equal figures give equal files."""
    folder.mkdir(exist_ok=True)
    figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
    figure.savefig(folder / f"{name}.png")
    return folder / f"{name}.png"


def headline(facts: Mapping[str, Any], *more: str) -> str:
    """Return a title: data set, partition, algorithm, number of clients and what else is given."""
    clients = facts.get("clients")
    known = [facts.get("dataset"), facts.get("partition"), facts.get("algorithm")]
    counted = [f"{clients} client{'' if clients == 1 else 's'}"] if isinstance(clients, int) else []
    return "  ·  ".join([str(part) for part in known if part] + counted + [part for part in more if part])


def label_categories(axes: Axes, labels: Sequence[str], axis: str = "x", at_most: int = 40) -> None:
    """Label the places 0, 1, … of an axis; labels turn when they are long and thin out when they are many.

    Args:
        axes: where.
        labels: one for each place.
        axis: ``x`` or ``y``.
        at_most: how many labels there is room for.
    """
    step = -(-len(labels) // at_most)
    places = list(range(0, len(labels), step))
    shown = [_shortened(labels[place]) for place in places]
    if axis == "y":
        axes.set_yticks(places, shown)
        return
    room = 60 / max(len(shown), 1)
    longest = max((len(text) for text in shown), default=0)
    turn: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if longest > room else {}
    if longest > 3 and len(shown) > 14:
        turn = {"rotation": 90}
    axes.set_xticks(places, shown, **turn)


def _shortened(text: str, length: int = 24) -> str:
    return text if len(text) <= length else "…" + text[1 - length :]
