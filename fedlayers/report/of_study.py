"""The answers about runs beside one another that the view Study shows at first."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.charts.questions import key_of
from fedlayers.charts.study import comparison, run_scores
from fedlayers.core.errors import UserError
from fedlayers.report.kept import Answers
from fedlayers.report.packed import packed
from fedlayers.runs.quantities import load_quantities, quantities_of
from fedlayers.runs.reading.parts import load, to_pandas
from fedlayers.runs.reading.run_facts import is_complete
from fedlayers.runs.reading.selection import Selection
from fedlayers.views.comparison.compared import compared
from fedlayers.views.comparison.scoring import COLUMNS, SCORES, Reported
from fedlayers.views.curves import CURVES

# The page asks for scores of so many runs at once, see web/js/views/study/scores.js.
_AT_ONCE = 40
_SCOPES = ("client_test", "client_val")
_PARTS = {"settings": comparison.by_setting, "ranks": comparison.ranks}


def study_answers(runs: Sequence[Path]) -> Answers:
    """Return small curves and scores of the runs, and how the algorithms of complete ones compare.

    Args:
        runs: their folders, sound ones, in the order of the page's list.
    """
    found: Answers = {}
    for first in range(0, len(runs), _AT_ONCE):
        some = runs[first : first + _AT_ONCE]
        found[key_of("charts/scores", {"run": [run.resolve().name for run in some]})] = packed(_scores(some))
    complete = [run for run in runs if is_complete(run)]
    if len(complete) < 2:
        return found
    try:
        compare = compared({run: _of_scores(run) for run in complete}, None, None, Reported("after_aggregate", "last"))
        for name, chart in _PARTS.items():
            found[key_of(f"charts/comparison/{name}")] = packed(chart(compare))
    except (UserError, ValueError):  # nothing can be compared: the page says so where it asks
        pass
    return found


def _scores(runs: Sequence[Path]) -> Charted:
    curves = {
        run.resolve().name: run_scores.small_curve(_records(run, run_scores.COLUMNS, CURVES), load_quantities(run))
        for run in runs
    }
    return run_scores.run_scores(curves, quantities_of(list(runs)))


def _of_scores(run: Path) -> pd.DataFrame:
    return _records(run, COLUMNS, SCORES, scope=_SCOPES, moment=("after_aggregate", "final"))


def _records(run: Path, columns: Sequence[str], metrics: Sequence[str], **others: Sequence[str]) -> pd.DataFrame:
    return to_pandas(load(run, "records", Selection.of({"metric": metrics, **others}, columns)))
