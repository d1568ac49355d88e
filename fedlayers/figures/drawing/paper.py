"""How a figure is drawn for a paper: its width, its letters, its title, what its bands are, which layers it shows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from fedlayers.core.checks import check
from fedlayers.figures.drawing.style import RC, fit
from fedlayers.statistics.bands import BANDS, bands_of


@dataclass(frozen=True)
class Paper:
    """What can be chosen of any figure; the defaults leave it as it is.

    Attributes:
        width: inches, from 1 to 40; the height follows. None for as wide as it needs.
        font_size: points of labels, from 3 to 40; other texts follow.
        title: whether it says what is shown; a paper says that in the caption.
        band: of lines that are means: ``sd`` (mean ± standard deviation), ``ci`` (95 % t interval of the mean),
            ``range`` (lowest to highest), or None for that of the figure.

    Raises:
        UserError: for a value out of range.
    """

    width: float | None = None
    font_size: float = RC["font.size"]
    title: bool = True
    band: str | None = None

    def __post_init__(self) -> None:
        check(self.width is None or 1 <= self.width <= 40, "width", "from 1 to 40 inches", self.width)
        check(3 <= self.font_size <= 40, "font_size", "from 3 to 40 points", self.font_size)
        check(self.band in (None, *BANDS), "band", f"one of {', '.join(BANDS)}", self.band)

    @classmethod
    def settings(cls) -> tuple[str, ...]:
        """Return the names of what can be chosen."""
        return tuple(field.name for field in fields(cls))

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Draw figures so in a block of code."""
        scale = self.font_size / RC["font.size"]
        sized = {name: value * scale for name, value in RC.items() if name.endswith("size") and "marker" not in name}
        look: Any = {**RC, **sized}
        with rc_context(look), bands_of(self.band):
            yield

    def finish(self, figure: Figure) -> None:
        """Give a figure its width and take its title away, if that is asked for."""
        if not self.title and figure.get_suptitle():
            figure.suptitle("")
        if self.width is not None:
            fit(figure, self.width)
