"""The confusion matrices of runs, with the classes' names as asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fedlayers.commands.chain.labels import check_labels
from fedlayers.core.errors import UserError
from fedlayers.figures.classes.confusion import confusion_matrix
from fedlayers.figures.drawing.drawable import Drawing
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.selection import EVERYTHING
from fedlayers.runs.reading.tables import Tables
from fedlayers.views.confusions import last_confusion


def confusions(
    tables: Tables, facts: Mapping[str, Any], labels: Sequence[str], normalized: bool | None
) -> list[Drawing]:
    """Return the last confusion matrix of a run, or of several the sum of theirs.

    Args:
        tables: of one or several runs.
        facts: of the first run.
        labels: names of the classes; empty for the data set's.
        normalized: as shares of each true class, as counts, or None for both.

    Raises:
        UserError: there are not as many labels as classes, or runs have different classes.
    """
    classes = facts.get("classes") or ()
    if any(run_facts(run).get("classes") != classes for run in tables.runs[1:]):
        raise UserError("runs must have the same classes to have one confusion matrix: name one run")
    check_labels(labels, classes)
    found = last_confusion(replace(tables, selection=EVERYTHING).spectra, classes) if classes else None
    if found is None:
        return []
    shown = replace(found, classes=tuple(labels or classes))
    told = facts if len(tables.runs) == 1 else {"dataset": facts.get("dataset")}
    both = ((None, False), ("normalized", True))
    return [
        Drawing("confusion_matrix", partial(confusion_matrix, shown, told, shares), part=part)
        for part, shares in both
        if normalized is None or shares == normalized
    ]
