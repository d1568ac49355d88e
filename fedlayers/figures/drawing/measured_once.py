"""What laying out and drawing a figure measure again and again, measured once: ticks, their labels, sizes of texts."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from matplotlib import rcParams
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure

# What sizes of texts depend on, beside the text, its font and the resolution.
_TEXT_SETTINGS = ("text.hinting", "text.hinting_factor", "mathtext.fontset", "mathtext.default", "mathtext.fallback")
_settings: Any = rcParams
# matplotlib's own, which another release may name otherwise: then everything is measured again and again.
_update_ticks: Any = getattr(Axis, "_update_ticks", None)
_label_boxes: Any = getattr(Axis, "_get_ticklabel_bboxes", None)


class Canvas(FigureCanvasAgg):
    """A canvas for pictures of pixels that knows the size of a text which any of them has measured."""

    def get_renderer(self) -> RendererAgg:
        """Return what draws into this canvas, as large as the figure is now."""
        width, height = self.get_width_height(physical=True)
        key = width, height, self.figure.dpi
        if getattr(self, "_drawn_for", None) != key:
            self.renderer: RendererAgg = _Renderer(width, height, self.figure.dpi)  # type: ignore[no-untyped-call]
            self._drawn_for = key
        return self.renderer


def canvas_of(figure: Figure) -> Canvas:
    """Return the figure's canvas, made if it has none of this kind."""
    return figure.canvas if isinstance(figure.canvas, Canvas) else Canvas(figure)


class _Renderer(RendererAgg):
    def get_text_width_height_descent(self, s: str, prop: Any, ismath: Any) -> tuple[float, float, float]:
        """Return width, height and depth of a text in pixels."""
        # A font's properties can be changed, their copy cannot.
        return _size(s, prop.copy(), ismath, self.dpi, tuple(_settings.get(name) for name in _TEXT_SETTINGS))


@lru_cache(4096)
def _size(text: str, font: Any, is_math: Any, dpi: float, settings: tuple[Any, ...]) -> tuple[float, float, float]:
    width, height, depth = _measuring(dpi)(text, font, is_math)
    return width, height, depth


@lru_cache(4)
def _measuring(dpi: float) -> Any:
    return RendererAgg(1, 1, dpi).get_text_width_height_descent  # type: ignore[no-untyped-call]


@dataclass
class _Found:
    """The ticks of an axis as found last, for which place, and the boxes of their labels by kind of renderer."""

    place: tuple[float, ...]
    ticks: list[Any]
    boxes: dict[type, Any] = field(default_factory=dict)


@contextmanager
def ticks_once(figure: Figure) -> Iterator[None]:
    """Let a figure that nobody changes in a block of code find its ticks once for each place that an axes is given.

    matplotlib formats all ticks of an axis up to a dozen times to lay a figure out and to draw it. They depend on the
    ends of the axis, on place and size of the axes, and on the resolution.
    """
    if _update_ticks is None or _label_boxes is None:
        yield
        return
    found: dict[Axis, _Found] = {}
    # Of formatters, which axes that share an axis share; they keep what they formatted last.
    users: dict[Any, Axis] = {}

    def ticks_of(axis: Any) -> Any:
        if axis.get_figure() is not figure:
            return _update_ticks(axis)
        place = (*axis.get_view_interval(), *axis.axes.bbox.bounds, axis.axes.figure.dpi)
        formatters = axis.get_major_formatter(), axis.get_minor_formatter()
        known = found.get(axis)
        if known is None or known.place != place or any(users.get(formatter) is not axis for formatter in formatters):
            found[axis] = known = _Found(place, _update_ticks(axis))
            users.update(dict.fromkeys(formatters, axis))
        return known.ticks

    def boxes_of(axis: Any, ticks: list[Any], renderer: Any) -> Any:
        known = found.get(axis)
        if known is None or known.ticks is not ticks:
            return _label_boxes(axis, ticks, renderer)
        if type(renderer) not in known.boxes:
            known.boxes[type(renderer)] = _label_boxes(axis, ticks, renderer)
        return known.boxes[type(renderer)]

    Axis._update_ticks, Axis._get_ticklabel_bboxes = ticks_of, boxes_of  # type: ignore[attr-defined]
    try:
        yield
    finally:
        Axis._update_ticks, Axis._get_ticklabel_bboxes = _update_ticks, _label_boxes  # type: ignore[attr-defined]
