"""Drawing figures into files; one that fails does not lose the others."""

import logging
from collections.abc import Sequence
from pathlib import Path

from fedlayers.core.machine.disk import DiskError
from fedlayers.core.machine.garbage import rare_collections
from fedlayers.figures.available import figures_of
from fedlayers.figures.drawing.drawable import Drawing
from fedlayers.figures.drawing.paper import Paper
from fedlayers.figures.drawing.saving import MAIN_FORMATS, save

logger = logging.getLogger(__name__)
# Embedding fonts into a PDF is told at INFO, glyph by glyph.
logging.getLogger("fontTools").setLevel(logging.WARNING)


def draw_main(folder: Path) -> list[Path]:
    """Draw the main figures of a run or a study into its ``figures/``, as PNG (150 dpi) and PDF.

    Those of a run are learning curves, partition, all layer metrics in small panels, the composites, and a profile
    and matrices of one similarity; those of a study are learning curves and layer metrics, averaged over its complete
    runs. What has no records is not drawn. The others: ``python -m fedlayers.plot``.

    Args:
        folder: of a run, which may still be going on, or of a study.

    Returns:
        The PNG files that were written.

    Raises:
        UserError: if it is neither, no run of the study is complete, or its tables cannot be read.
    """
    with rare_collections():
        return draw([figure for figure in figures_of(folder) if figure.main], Path(folder) / "figures")


def draw(
    figures: Sequence[Drawing], folder: Path, formats: Sequence[str] = MAIN_FORMATS, paper: Paper | None = None
) -> list[Path]:
    """Draw figures into a folder; one that fails is logged with its reason and does not lose the others.

    Args:
        figures: which.
        folder: made if it is not there.
        formats: some of ``FORMATS``.
        paper: how they are drawn, if not as usual.

    Returns:
        The files that were written, of the first format.

    Raises:
        DiskError: they cannot be written there.
    """
    paper = paper or Paper()
    written = []
    for drawing in figures:
        try:
            with paper.drawing():
                figure = drawing.make()
                if figure is not None:
                    paper.finish(figure)
                    written.append(save(figure, folder, drawing.name, formats))
        except DiskError:
            raise  # the others would fail as well
        except Exception as error:
            logger.exception("the figure %s could not be drawn: %s", drawing.name, error)
    return written
