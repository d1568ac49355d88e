"""Results in Python: the tables of a run or a study, with the figures that can be drawn of them."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlayers.runs.reading import tables

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from fedlayers.views.chain.answered import Answered


class Tables(tables.Tables):
    """The tables of one or several runs, each read on first use, and their figures.

    See :class:`fedlayers.runs.reading.tables.Tables` for what they hold.
    """

    def plot(
        self,
        name: str,
        *,
        metric: str | None = None,
        round: int | None = None,
        layers: Sequence[str] = (),
        **paper: Any,
    ) -> "Figure":
        """Return a figure of matplotlib, which a notebook shows; ``python -m fedlayers.plot PATH --list`` lists them.

        Args:
            name: of a figure, such as ``learning_curves`` or ``layer_profile_norm``, or of a kind with ``metric``.
            metric: the metric of a kind of which there are several.
            round: this round instead of the first and the last one measured.
            layers: only these layers, by name; empty for all.
            paper: ``width`` (inches), ``font_size`` (points), ``title`` (False leaves it out) and ``band`` (``sd``,
                ``ci`` or ``range``), see :class:`fedlayers.figures.drawing.paper.Paper`.

        Raises:
            UserError: there is no such figure, layer or setting.

        Examples:
            ``fedlayers.read("results/main/<run>").plot("learning_curves", width=3.3).savefig("curves.pdf")``
        """
        from fedlayers.figures.notebook import figure_of

        return figure_of(self, name, metric, round, layers, **paper)

    @cached_property
    def fairness(self) -> "pd.DataFrame":
        """How evenly a federation serves its clients, of the rows that are asked for.

        A row for each round, moment, model, scope and quantity that has a better and a worse: ``clients``, ``mean``,
        ``variance``, ``worst_decile``, ``worst`` and ``worst_client``, see
        :func:`fedlayers.statistics.fairness.fairness`. ``chosen`` says ``best`` of what was measured after the
        aggregation of the round with the lowest validation loss and ``final`` of the end of the run; else it is empty.
        Of a ``study.parquet``, which does not say which round was the best, it knows ``final`` alone.

        Examples:
            ``fedlayers.read("results/main").fairness.query("chosen == 'best' and metric == 'accuracy'")``
        """
        from fedlayers.views.fairness import fairness_of

        return fairness_of(self)

    def answers(self) -> "Answered":
        """Return what layers answer: whether later ones predict better, compress, and differ from their neighbours.

        Returns:
            ``text`` has the statements, ``table`` a row per question and quantity, ``differences`` how far groups of
            runs differ, ``clients`` what each client's model says; empty where nothing of it was measured.

        Raises:
            UserError: no run of the study is complete.

        Examples:
            ``print(fedlayers.read("results/main").answers().text)``
        """
        from fedlayers.views.chain.answered import answered

        return answered(self)


def read(path: str | Path, *, columns: Sequence[str] = (), **filters: Any) -> Tables:
    """Return the tables of a run folder, of a study folder (all its runs) or of a ``study.parquet``.

    Args:
        path: ``results/<study>/<run>``, ``results/<study>`` or ``results/<study>/study.parquet``.
        columns: those that are wanted; empty for all.
        filters: a column and a value or a list of some, such as ``metric="loss"``, ``layer=["fc1", "fc2"]``,
            ``rounds=range(1, 4)``, ``client=0`` or, of several runs, ``seed=0``: rows that have one of the values.
            Only parts, row groups and columns that can hold such rows are read. A table that lacks a column has none.

    Returns:
        Tables that are read when first asked for; call ``read`` again to see what a running run added since.

    Raises:
        UserError: if there is nothing at ``path``, it is neither of the three, a file cannot be read, or nobody has a
            value that is asked for.

    Examples:
        >>> import fedlayers
        >>> run = fedlayers.run(rounds=1, clients=2, metrics=["weights"], figures=False)
        run: results/main/digits-fedavg-s0-...
        >>> tables = fedlayers.read("results/main")
        >>> sorted(tables.records.query("metric == 'update_norm'")["layer"].dropna().unique())
        ['fc1', 'fc2']
    """
    return of(tables.read(path, columns=columns, **filters))


def of(found: tables.Tables) -> Tables:
    """Return tables that can be drawn."""
    return Tables(found.path, found.runs, found.several, found.selection)
