"""A figure of the trackers, in the words of what it is of."""

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure
from matplotlib.text import Text

from fedlayers.figures.drawing.measured_once import canvas_of
from metrics.tracking.drawing import look


def drawn(make: Callable[[], Any], is_federation: bool) -> Figure:
    """Return a tracker's figure; trackers count epochs, federations rounds."""
    with look():
        figure: Figure = make()
    for text in figure.findobj(Text) if is_federation else ():
        text.set_text(text.get_text().replace("an epoch", "a round").replace("epoch", "round"))
    # Where a map keeps its shape one layout leaves no room for what stands below it; a second one does.
    engine = figure.get_layout_engine()
    if engine is not None and any(axes.images for axes in figure.axes):
        canvas_of(figure)
        engine.execute(figure)
    return figure
