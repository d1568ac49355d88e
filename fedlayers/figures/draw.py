"""Draws all figures of a run or a study; one that fails does not lose the others."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from fedlayers.figures.layers import layer_metrics, layer_profile
from fedlayers.figures.learning import learning_curves
from fedlayers.figures.partition import partition_matrix
from fedlayers.figures.style import RC, save
from fedlayers.tables import read, run_facts

logger = logging.getLogger(__name__)
# Embedding fonts into a PDF is told at INFO, glyph by glyph.
logging.getLogger("fontTools").setLevel(logging.WARNING)


def draw_run(run_dir: Path) -> list[Path]:
    """Draw a run's figures into ``figures/`` of its folder, as PNG (150 dpi) and PDF.

    These are ``learning_curves``, ``partition``, and ``layer_profile_<metric>`` for each metric with values of
    single layers. What a run has no records for is not drawn; a figure that fails is logged with its reason.

    Args:
        run_dir: the run folder, of a run that may still be going on.

    Returns:
        The PNG files that were written.

    Raises:
        UserError: if it is no run folder or its tables cannot be read.
    """
    run = Path(run_dir)
    tables = read(run)
    facts = run_facts(run)
    records = tables.records
    makers: dict[str, Callable[[], Figure | None]] = {
        "learning_curves": lambda: learning_curves(records, facts),
        "partition": lambda: partition_matrix(tables.partition, facts),
    }
    for metric in layer_metrics(records):
        makers[f"layer_profile_{metric}"] = partial(layer_profile, records, metric, facts)
    return _draw(makers, run / "figures")


def _draw(makers: Mapping[str, Callable[[], Figure | None]], folder: Path) -> list[Path]:
    written = []
    for name, make in makers.items():
        try:
            with rc_context(RC):
                figure = make()
                if figure is not None:
                    written.append(save(figure, folder, name))
        except Exception as error:
            logger.exception("the figure %s could not be drawn: %s", name, error)
    return written
