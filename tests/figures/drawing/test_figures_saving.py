"""Files of figures: what makes them quicker to draw shows nowhere."""

import re
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fontTools.subset import Options
from fontTools.ttLib import TTFont
from matplotlib import rc_context
from matplotlib.axis import Axis
from matplotlib.backends import _backend_pdf_ps as embedding
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import imread

from fedlayers.figures.drawing import fonts, measured_once
from fedlayers.figures.drawing.measured_once import canvas_of
from fedlayers.figures.drawing.paper import Paper
from fedlayers.figures.drawing.saving import save
from fedlayers.figures.drawing.style import new_figure


def example() -> Figure:
    """Return a figure with and without a power of ten above its axes, with labels and without."""
    with Paper().drawing():
        figure = new_figure(5, 2.4)
        for axes, top in zip(figure.subplots(1, 3), (3e-6, 3.0, 3e7), strict=True):
            axes.plot([0, 1, 2], [0, top, top / 2])
            axes.set_title(f"up to {top:g}\nand no more", fontsize=7)
        figure.axes[1].set_xlabel("round")
        figure.axes[1].set_ylabel("loss (nat)")
        figure.suptitle("digits · fedavg")
    return figure


def shared() -> Figure:
    """Return a figure whose axes share their scales, logarithmic and not, some of them without a place in the grid."""
    with Paper().drawing():
        figure = new_figure(5, 4)
        grid = figure.subplots(2, 2, sharex=True, sharey="row")
        for axes, top in zip(grid.flat, (2.0, 3e5, 1e-3, 40.0), strict=True):
            axes.plot([1, 2, 30], [top / 7, top, top / 2], label="clients")
        grid[0, 0].set_yscale("log")
        grid[1, 1].remove()
        figure.legend(loc="outside lower center")
    return figure


@pytest.mark.parametrize("make", [example, shared])
def test_the_picture_is_the_one_that_matplotlib_draws_by_itself(make: Callable[[], Figure], tmp_path: Path) -> None:
    before = vars(Axis).copy()
    with Paper().drawing():
        plain = FigureCanvasAgg(make())
        plain.draw()  # type: ignore[no-untyped-call]
        saved = imread(save(make(), tmp_path, "example", ["png"]))
    assert vars(Axis) == before
    assert np.array_equal(np.round(255 * saved), np.asarray(plain.buffer_rgba()))  # type: ignore[no-untyped-call]


def test_another_matplotlib_may_lack_what_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Paper().drawing():
        known = save(example(), tmp_path, "known", ["png"]).read_bytes()
        monkeypatch.setattr(measured_once, "_update_ticks", None)
        assert save(example(), tmp_path, "unknown", ["png"]).read_bytes() == known


def test_text_in_a_pdf_is_text_in_fonts_that_are_embedded(tmp_path: Path) -> None:
    before = Options().drop_tables
    with Paper().drawing():
        file = save(example(), tmp_path, "example", ["pdf"])
    assert Options().drop_tables == before
    streams = [
        zlib.decompress(data) for data in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", file.read_bytes(), re.DOTALL)
    ]
    fonts = [TTFont(BytesIO(data)) for data in streams if data[:4] == b"\0\1\0\0"]
    assert fonts and all({"glyf", "hmtx", "cmap"} <= set(font.keys()) for font in fonts)
    assert not any({"GSUB", "GPOS", "kern"} & set(font.keys()) for font in fonts)
    # Which letter a glyph stands for, so that what is shown can be searched and copied.
    letters = {
        chr(int(code, 16))
        for data in streams
        if b"beginbfrange" in data
        for code in re.findall(rb"[<\[ ]<([0-9a-f]{4})>", data)
    }
    assert set("digitsfedavgrounlo") <= letters


@pytest.mark.parametrize("text", ["accuracy ± 0.1 · 10⁻³ …", "Größe, длина, $\\sum_i w_i^2$"])
def test_a_pdf_is_the_one_with_glyphs_out_of_the_whole_fonts(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def saved(name: str) -> bytes:
        figure = example()
        figure.suptitle(text)
        return save(figure, tmp_path, name, ["pdf"]).read_bytes()

    lean, before = saved("lean"), embedding.get_glyphs_subset
    monkeypatch.setattr(fonts, "_glyphs_subset", before)
    assert saved("whole") == lean and embedding.get_glyphs_subset is before


def test_sizes_of_texts_are_those_of_the_settings(tmp_path: Path) -> None:
    canvas = canvas_of(example())

    def measured() -> Any:
        renderer: Any = canvas.get_renderer()
        return renderer.get_text_width_height_descent("$x^2$", FontProperties(size=9), True)

    plain = measured()
    with rc_context({"mathtext.fontset": "stix"}):
        assert measured() != plain
    assert measured() == plain and canvas_of(canvas.figure) is canvas
