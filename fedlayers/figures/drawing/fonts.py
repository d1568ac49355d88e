"""Fonts in PDF files: the glyphs that a figure uses, taken from a small copy of each font instead of the whole."""

from collections.abc import Iterator, Set
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from inspect import signature
from io import BytesIO
from typing import Any

from fontTools.subset import Options
from matplotlib.backends import _backend_pdf_ps
from matplotlib.font_manager import get_font

# Of a font, what a PDF does not use: it says itself which glyph stands where.
_LAYOUT_TABLES = ("GDEF", "GPOS", "GSUB", "MATH", "kern", "name")
# Latin, Greek, dashes and dots, raised and lowered digits, minus, root and sums: what figures are mostly labelled with.
_COMMON = (
    *range(0x20, 0x180), *range(0x370, 0x400), *range(0x2010, 0x2030), *range(0x2070, 0x20A0), *range(0x2200, 0x2270)
)  # fmt: skip
_embedding: Any = _backend_pdf_ps
_whole = _embedding.get_glyphs_subset


@contextmanager
def lean_fonts() -> Iterator[None]:
    """Let fonts be embedded in a fifth of the time: the files differ by the tables that a PDF does not use."""
    before = Options._drop_tables_default
    Options._drop_tables_default = [*before, *_LAYOUT_TABLES]
    # Before 3.11 matplotlib asked for characters, and gave the font alone.
    if "glyphs" in signature(_whole).parameters:
        _embedding.get_glyphs_subset = _glyphs_subset
    try:
        yield
    finally:
        Options._drop_tables_default = before
        _embedding.get_glyphs_subset = _whole


class _Copy(BytesIO):
    """A font in memory that matplotlib takes for a file's name."""

    face_index = 0


def _glyphs_subset(font: Any, glyphs: Set[int]) -> AbstractContextManager[Any]:
    """Return what matplotlib's function of this name does, by way of the small copy if that has all the glyphs.

    Args:
        font: a font file's name, as matplotlib's font manager gives it.
        glyphs: numbers of glyphs in it.
    """
    copy, places = _common_glyphs(font)
    if not places.keys() >= set(glyphs):
        whole: AbstractContextManager[Any] = _whole(font, glyphs)
        return whole
    return _taken(copy, {glyph: places[glyph] for glyph in glyphs})


@contextmanager
def _taken(copy: bytes, places: dict[int, int]) -> Iterator[Any]:
    with _whole(_Copy(copy), set(places.values())) as found:
        yield found._replace(glyph_index_map={glyph: found.glyph_index_map[at] for glyph, at in places.items()})


@cache
def _common_glyphs(font: Any) -> tuple[bytes, dict[int, int]]:
    """Return a copy of a font with its common glyphs, and glyph -> the glyph's number in the copy."""
    glyphs = {get_font(font).get_char_index(character) for character in _COMMON}
    with _whole(font, glyphs) as found:
        return _embedding.font_as_file(found.font).getvalue(), dict(found.glyph_index_map)
