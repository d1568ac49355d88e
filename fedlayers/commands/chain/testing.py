"""A model of a run tested again: what came out as text, as files and as figures."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedlayers.commands.chain.labels import check_labels
from fedlayers.commands.chain.report_text import report_text
from fedlayers.core.errors import UserError
from fedlayers.export.assessment_files import save_tests
from fedlayers.figures.classes.confusion import confusion_matrix
from fedlayers.figures.draw import draw
from fedlayers.figures.drawing.drawable import Drawing
from fedlayers.opening.assessment import Assessment, assess, assess_clients
from fedlayers.opening.run import Run
from fedlayers.views.confusions import Confusion


def tested_again(run: Run, checkpoint: str = "best", clients: bool = False, labels: Sequence[str] = ()) -> list[Path]:
    """Test a model of a run, print what came out, and return the files that hold it.

    Args:
        run: the run.
        checkpoint: ``best`` or ``last``.
        clients: whether it is tested on each client's test examples as well.
        labels: names of the classes, in the order of the labels; empty for the data set's.

    Raises:
        UserError: it has no such model, or there are not as many labels as classes.
    """
    check_labels(labels, run.facts["classes"])
    folder = run.folder / "evaluation" / checkpoint
    files = []
    try:
        found = _named(assess(run, checkpoint), labels)
        print(f"{run.folder}: the {checkpoint} model, of round {found.round}\n{report_text(found)}")
        told = {"checkpoint": checkpoint, "round": found.round}
        files += [*save_tests(found, folder, told), *_draw(found, folder, run.facts)]
    except UserError as error:
        if not clients:
            raise
        print(error, file=sys.stderr)
    for one in assess_clients(run, checkpoint) if clients else ():
        told = {"checkpoint": checkpoint, "round": one.round, "client": one.client}
        files += save_tests(_named(one, labels), folder / "clients" / str(one.client), told)
        print(f"client {one.client}: accuracy {one.accuracy:.4f} of {one.examples:,} examples")
    print(f"files: {folder}")
    return files


def _named(found: Assessment, labels: Sequence[str]) -> Assessment:
    """Return the same with other names for the classes."""
    return replace(found, classes=tuple(labels)) if labels else found


def _draw(found: Assessment, folder: Path, facts: Mapping[str, Any]) -> list[Path]:
    """Draw the confusion matrix as counts and as shares."""
    shown = Confusion(found.confusion, found.classes, ("server's test set", f"round {found.round}"))
    drawings = [
        Drawing("confusion_matrix", lambda: confusion_matrix(shown, facts)),
        Drawing("confusion_matrix", lambda: confusion_matrix(shown, facts, normalized=True), part="normalized"),
    ]
    return draw(drawings, folder, ("png",))
