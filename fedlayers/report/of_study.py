"""The answers about runs beside one another that the view Study shows at first."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fedlayers.charts.packed import packed
from fedlayers.charts.questions import key_of
from fedlayers.charts.study import comparison, run_scores
from fedlayers.charts.study.run_scores import SmallCurve
from fedlayers.core.errors import UserError
from fedlayers.report.kept import Answers
from fedlayers.runs.quantities import quantities_of
from fedlayers.runs.reading.run_facts import is_complete
from fedlayers.runs.reading.tables import Tables
from fedlayers.views.comparison.compared import compared
from fedlayers.views.comparison.scoring import COLUMNS, SCORES, Reported

# The page asks for scores of so many runs at once, see web/js/views/study/scores.js.
_AT_ONCE = 40
_SCOPES = ("client_test", "client_val")
_MOMENTS = ("after_aggregate", "final")
_PARTS = {"settings": comparison.by_setting, "ranks": comparison.ranks}


@dataclass(frozen=True)
class Scored:
    """How a run fared, where it stands beside others.

    Attributes:
        curve: over the rounds.
        scores: the rows by which algorithms are compared; None of a run that is not complete.
    """

    curve: SmallCurve
    scores: pd.DataFrame | None


def scored(tables: Tables) -> Scored:
    """Return how a run fared, by its tables."""
    records = tables.records
    chosen = records["metric"].isin(SCORES) & records["scope"].isin(_SCOPES) & records["moment"].isin(_MOMENTS)
    scores = records.loc[chosen, list(COLUMNS)] if is_complete(tables.path) else None
    return Scored(run_scores.small_curve(records, tables.quantities), scores)


def study_answers(runs: Mapping[Path, Scored]) -> Answers:
    """Return small curves and scores of the runs, and how the algorithms of complete ones compare.

    Args:
        runs: folder -> how the run fared, sound ones, in the order of the page's list.
    """
    found: Answers = {}
    for first in range(0, len(runs), _AT_ONCE):
        some = list(runs)[first : first + _AT_ONCE]
        curves = {run.resolve().name: runs[run].curve for run in some}
        shown = run_scores.run_scores(curves, quantities_of(some))
        found[key_of("charts/scores", {"run": list(curves)})] = packed(shown)
    complete = {run: one.scores for run, one in runs.items() if one.scores is not None}
    if len(complete) < 2:
        return found
    try:
        compare = compared(complete, None, None, Reported("after_aggregate", "last"))
        for name, chart in _PARTS.items():
            found[key_of(f"charts/comparison/{name}")] = packed(chart(compare))
    except (UserError, ValueError):  # nothing can be compared: the page says so where it asks
        pass
    return found
