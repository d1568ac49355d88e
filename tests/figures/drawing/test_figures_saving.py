"""Files of figures: what makes them quicker to draw shows nowhere."""

import re
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from fontTools.subset import Options
from fontTools.ttLib import TTFont
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

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


def test_the_picture_is_the_one_that_matplotlib_draws_by_itself(tmp_path: Path) -> None:
    with Paper().drawing():
        plain = FigureCanvasAgg(example())
        plain.draw()  # type: ignore[no-untyped-call]
        saved = imread(save(example(), tmp_path, "example", ["png"]))
    assert np.array_equal(np.round(255 * saved), np.asarray(plain.buffer_rgba()))  # type: ignore[no-untyped-call]


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
