"""What a test of a model found, as text: the class report, and the confusion matrix where it fits a terminal."""

import math
from collections.abc import Sequence

from fedlayers.opening.assessment import Assessment

_MOST_CLASSES = 20
_LONGEST = 18


def report_text(found: Assessment) -> str:
    """Return accuracy, a line for each class, the means, and the counts of at most twenty classes."""
    scores = found.report
    rows = [*scores.classes.items(), ("mean over classes", scores.macro), ("mean over examples", scores.weighted)]
    lines = [
        [_short(name), *map(_number, (own.precision, own.recall, own.f1)), f"{own.support:,}"] for name, own in rows
    ]
    text = f"accuracy {_number(found.accuracy)} of {found.examples:,} examples\n"
    if found.stages:
        text += "by layer: " + ", ".join(f"{name} {_number(share)}" for name, share in found.stages.items()) + "\n"
    text += _table(["class", "precision", "recall", "F1", "examples"], lines)
    if len(found.classes) <= _MOST_CLASSES:
        names = [_short(name) for name in found.classes]
        counts = [[name, *map(str, row)] for name, row in zip(names, found.confusion.tolist(), strict=True)]
        text += "\n\n" + _table(["true \\ predicted", *names], counts)
    return text


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return columns, the first one flush left."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    )
