"""How all figures look: colours, sizes, names of moments, titles and legends."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fedlayers.figures.drawing.coinciding import NOTE, coinciding_sign, show_coinciding
from fedlayers.figures.drawing.measured_once import canvas_of

# Okabe & Ito 2008, Color universal design: told apart with every kind of colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
MOMENT_COLOURS: Mapping[str, str] = {
    "start": "#666666",
    "after_local": PALETTE[0],
    "after_aggregate": PALETTE[1],
    "final": PALETTE[2],
}
MARKERS: Mapping[str, str] = {"start": "v", "after_local": "o", "after_aggregate": "s", "final": "D"}
SERVER_COLOUR = "#000000"
BAND_ALPHA = 0.2
_DPI = 150
_BETWEEN = " · "
# How wide a letter of a title is.
_LETTER_IN = 0.09
_BAR = Line2D([], [], color="#777777", marker="|", ms=9, ls="")

RC: Any = {
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
}


class ShownFigure(Figure):
    """A figure that a notebook shows when it is the value of a cell, also without pyplot."""

    def _repr_png_(self) -> bytes:
        sink = BytesIO()
        FigureCanvasAgg(self).print_png(sink)  # type: ignore[no-untyped-call]
        return sink.getvalue()


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure of the given size in inches, laid out so that nothing overlaps."""
    return ShownFigure(figsize=(width_in, height_in), layout="constrained", dpi=_DPI)


def headline(figure: Figure, facts: Mapping[str, Any], *more: str) -> None:
    """Give a figure its title: data set, partition, algorithm, number of clients and what else is given."""
    clients = facts.get("clients")
    known = [facts.get("dataset"), facts.get("partition"), facts.get("algorithm")]
    counted = [f"{clients} client{'' if clients == 1 else 's'}"] if isinstance(clients, int) else []
    parts = [str(part) for part in [*known, *counted, *more] if part]
    figure.suptitle(_broken(parts, figure.get_figwidth()))


def legend_below(figure: Figure, *notes: str) -> None:
    """Put one legend for all axes below them: each label once, those of chance last, then what bands and bars are.

    Lines that lie on each other are drawn so that both are seen, and the legend says so.

    Args:
        figure: its axes hold the labelled lines.
        notes: what bands or bars are; empty ones are left out.
    """
    entries: dict[str, Any] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        entries |= {label: handle for label, handle in zip(labels, handles, strict=True) if label not in entries}
    entries = dict(sorted(entries.items(), key=lambda entry: entry[0].startswith("chance")))
    for note in filter(None, notes):
        entries[note] = _BAR if note.startswith("bars") else Patch(color="#777777", alpha=BAND_ALPHA, lw=0)
    if show_coinciding(figure):
        entries[NOTE] = coinciding_sign()
    if entries:
        # A figure that is narrower than its legend grows.
        figure.set_figwidth(max(figure.get_figwidth(), _legend_that_fits(figure, entries)))


def _legend_that_fits(figure: Figure, entries: Mapping[str, Any]) -> float:
    """Put a legend below, in as many columns as fit; return its width in inches."""
    renderer = canvas_of(figure).get_renderer()
    width_in = 0.0
    for columns in (3, 2, 1):
        legend = figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=columns)
        width_in = legend.get_window_extent(renderer).width / figure.dpi + 0.1
        if width_in <= figure.get_figwidth() or columns == 1:
            break
        legend.remove()
    return width_in


def fit(figure: Figure, width_in: float) -> None:
    """Give a figure another width: the axes keep their shape, legend and title are laid out again."""
    before = _texts_in(figure)
    share = width_in / figure.get_figwidth()
    height = figure.get_figheight()
    figure.set_figwidth(width_in)
    for legend in list(figure.legends):
        entries = {
            text.get_text(): handle for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
        }
        legend.remove()
        _legend_that_fits(figure, entries)
    if title := figure.get_suptitle():
        figure.suptitle(_broken(title.replace("\n", _BETWEEN).split(_BETWEEN), figure.get_figwidth()))
    after = _texts_in(figure)
    figure.set_figheight(max(share * (height - before), 1.0) + after)


def _texts_in(figure: Figure) -> float:
    """Return the height of a figure's title and legends, in inches."""
    renderer = canvas_of(figure).get_renderer()
    lines = figure.get_suptitle().count("\n") + 1 if figure.get_suptitle() else 0
    legends = sum(legend.get_window_extent(renderer).height for legend in figure.legends)
    return float(legends / figure.dpi + lines * 0.2)


def _broken(parts: Sequence[str], width_in: float) -> str:
    """Return the parts of a title in as few lines as are no wider than so many inches."""
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]}{_BETWEEN}{part}" if lines[-1] else part
        if lines[-1] and _LETTER_IN * len(longer) > width_in:
            lines.append(part)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def shortened(text: str, length: int = 24) -> str:
    """Return the text, or its end if it is longer than so many characters."""
    return text if len(text) <= length else "…" + text[1 - length :]
