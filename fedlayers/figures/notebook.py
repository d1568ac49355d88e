"""One figure of tables that were read, for a notebook or a script."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from fedlayers.core.errors import UserError
from fedlayers.figures.available import chosen, figures_in
from fedlayers.figures.drawing.paper import Paper
from fedlayers.runs.reading.tables import Tables


def figure_of(
    tables: Tables, name: str, metric: str | None, only_round: int | None, layers: Sequence[str], **paper: Any
) -> Figure:
    """Return a figure; see :meth:`fedlayers.commands.reading.Tables.plot`."""
    for setting in paper.keys() - set(Paper.settings()):
        raise UserError(f"plot has no setting {setting}; it has metric, round, layers, {', '.join(Paper.settings())}")
    look = Paper(**paper)
    found = chosen(figures_in(tables, only_round, layers), [name], metric, tables.path)
    if len(found) > 1:
        several = ", ".join(figure.name for figure in found)
        raise UserError(f"there are several figures {name}: name one of {several}, or give metric=...")
    with look.drawing():
        figure = found[0].make()
        if figure is None:
            raise UserError(f"{tables.path} holds nothing that {name} could show")
        look.finish(figure)
        # Laid out while sizes are those asked for: a notebook draws it later.
        if engine := figure.get_layout_engine():
            engine.execute(figure)
    return figure
