"""A figure that could be drawn from the tables at hand."""

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawing:
    """A figure whose rows are there, and the function that draws it.

    Attributes:
        family: what kind of figure it is, such as ``layer_profile``.
        make: returns the figure; it may still return None if nothing can be shown after all.
        metric: the one metric that it shows; None if it shows several.
        part: what else tells it from others of its kind, such as the data set.
        words: returns what the figure says in plain words, which a command prints; None if nothing but the figure does.
        main: whether it is drawn without being asked for when a run or a study is done.
    """

    family: str
    make: Callable[[], Figure | None]
    metric: str | None = None
    part: str | None = None
    words: Callable[[], str] | None = None
    main: bool = False

    @property
    def name(self) -> str:
        """The name of its files, such as ``layer_profile_norm``."""
        return "_".join(word for word in (self.family, self.metric, self.part) if word)
