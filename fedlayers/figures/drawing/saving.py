"""Saving a figure: laid out once, then drawn into every format."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from fedlayers.core.machine.disk import make_folder, whole_file
from fedlayers.figures.drawing.fonts import lean_fonts
from fedlayers.figures.drawing.measured_once import canvas_of, ticks_once

FORMATS = ("png", "pdf", "svg")
# Those in which a run leaves its figures.
MAIN_FORMATS = ("png", "pdf")
# Half the time of 6, and files are 8 % larger.
_PNG_LEVEL = 1


def save(figure: Figure, folder: Path, name: str, formats: Sequence[str] = MAIN_FORMATS) -> Path:
    """Write a file ``name.<format>`` for every one of ``formats``; equal figures give equal files.

    Returns:
        The file of the first format.
    """
    make_folder(folder)
    with ticks_once(figure):
        _lay_out(figure)
        _write(figure, folder, name, formats)
    return folder / f"{name}.{formats[0]}"


def _write(figure: Figure, folder: Path, name: str, formats: Sequence[str]) -> None:
    if "png" in formats:
        with whole_file(folder / f"{name}.png") as file:
            canvas_of(figure).print_png(file, pil_kwargs={"compress_level": _PNG_LEVEL})  # type: ignore[no-untyped-call]
    if "pdf" in formats:
        with whole_file(folder / f"{name}.pdf") as file, lean_fonts():
            FigureCanvasPdf(figure).print_pdf(file, metadata={"CreationDate": None})  # type: ignore[no-untyped-call]
    if "svg" in formats:
        with whole_file(folder / f"{name}.svg") as file, rc_context({"svg.hashsalt": name}):
            FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})  # type: ignore[no-untyped-call]


def _lay_out(figure: Figure) -> None:
    """Lay a figure out for good.

    Laying out costs as much as drawing, and Figure.savefig would do both twice for each file.
    """
    canvas_of(figure)
    if engine := figure.get_layout_engine():
        for axes in figure.axes:
            _keep_title(axes)
        engine.execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if not axis.get_label_text():  # it need not be moved away from the ticks' labels, which are measured for it
                axis.set_label_coords(0, 0)


def _keep_title(axes: Axes) -> None:
    """Leave a title just above its axes where nothing is in its way: matplotlib measures all ticks to find out."""
    axes.yaxis.get_ticklabels()  # the power of ten above an axis is known once its ticks are
    if not axes.yaxis.get_major_formatter().get_offset() and axes.xaxis.get_ticks_position() != "top":
        axes.set_title(axes.get_title(), y=1.0, fontsize=axes.title.get_fontsize())
