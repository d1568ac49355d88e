"""Charts of the view Study: of several runs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pandas as pd
from fastapi import APIRouter, Query
from starlette.responses import Response

from fedlayers.charts.study import group_curves, run_scores
from fedlayers.core.errors import UserError
from fedlayers.explore.routes.charts.answering import CHARTED, charted
from fedlayers.explore.service import RunFolders, Served, Service
from fedlayers.runs.quantities import load_quantities, quantities_of
from fedlayers.runs.reading.parts import load, to_pandas
from fedlayers.runs.reading.run_facts import is_complete, run_facts
from fedlayers.runs.reading.selection import Selection
from fedlayers.views.comparison.scoring import COLUMNS, COMPARED_SCOPES, SCORES, Reported
from fedlayers.views.curves import CURVES

router = APIRouter(prefix="/charts", tags=["charts"], responses=CHARTED)

T = TypeVar("T")


@router.get("/scores", response_class=Response)
def scores(service: Served, folders: RunFolders) -> Response:
    """Return of each run a small curve of its clients' mean score, the last one, and the worst client's."""

    def made(run: Path) -> run_scores.SmallCurve:
        return run_scores.small_curve(_records(run, run_scores.COLUMNS, CURVES), load_quantities(run))

    curves = _sound(lambda run: service.remembered.of(run, "scores", made), folders)
    return charted(run_scores.run_scores({run.name: one for run, one in curves.items()}, quantities_of(list(curves))))


@router.get("/groups", response_class=Response)
def groups(service: Served, folders: RunFolders) -> Response:
    """Return accuracy and loss over the rounds of some runs; those that differ only in their seed are one line."""
    records = _sound(lambda run: _records(run, run_scores.COLUMNS, CURVES), folders)
    return charted(group_curves.group_curves(pd.concat(records.values(), ignore_index=True), list(records)))


@router.get("/comparison/{part}", response_class=Response)
def comparisons(
    service: Served,
    folders: RunFolders,
    part: Literal["settings", "ranks", "clients"],
    metric: Annotated[str | None, Query(max_length=500, description="Which score; accuracy if absent.")] = None,
    baseline: Annotated[str | None, Query(max_length=500, description="The algorithm that others are held to.")] = None,
    moment: Literal["after_aggregate", "after_local"] = "after_aggregate",
    round: Literal["last", "best"] = "last",
) -> Response:
    """Return how the algorithms of complete runs compare: by setting, by rank, or by client."""
    # Statistics of studies take half a second until they are there, for which the first view of a run need not wait.
    from fedlayers.charts.study import comparison
    from fedlayers.views.comparison.compared import compared

    parts = {"settings": comparison.by_setting, "ranks": comparison.ranks, "clients": comparison.by_client}
    sound = [run for run, complete in _sound(is_complete, folders).items() if complete]
    if not sound:
        raise UserError("none of these runs is complete: algorithms are compared by runs that have all of their rounds")
    reported = Reported(moment, round)
    records = _sound(lambda run: _scored(service, run, metric, reported), sound)
    return charted(parts[part](compared(records, metric, baseline, reported)))


def _scored(service: Service, run: Path, metric: str | None, reported: Reported) -> pd.DataFrame:
    """Return the clients' scores of a run: of its end alone where that is what is compared."""
    names = tuple(dict.fromkeys((*SCORES, *filter(None, [metric]))))
    if reported.round == "best":
        return _records(run, COLUMNS, names, scope=COMPARED_SCOPES)

    def made(run: Path) -> pd.DataFrame:
        end = _records(run, COLUMNS, names, scope=COMPARED_SCOPES, round=run_facts(run).get("round") or 0)
        if end["moment"].isin([reported.moment]).any():
            return end
        # What was evaluated seldom was not evaluated in the last round.
        rows = _records(run, COLUMNS, names, scope=COMPARED_SCOPES, moment=(reported.moment, "final"))
        last = (rows["moment"] == "final") | (rows["round"] == rows["round"].max())
        ends: pd.DataFrame = rows[last]
        return ends

    return service.remembered.of(run, f"end of {names}, {reported.moment}", made)


def _records(run: Path, columns: Sequence[str], metrics: Sequence[str], **others: Any) -> pd.DataFrame:
    return to_pandas(load(run, "records", Selection.of({"metric": metrics, **others}, columns)))


def _sound(reader: Callable[[Path], T], runs: Sequence[Path]) -> dict[Path, T]:
    """Return what a reader makes of each run; the list of runs says of a damaged one why it is left out here.

    Raises:
        UserError: none can be read.
    """
    found: dict[Path, T] = {}
    reasons: list[UserError] = []
    for run in runs:
        try:
            found[run] = reader(run)
        except UserError as error:
            reasons.append(error)
    if reasons and not found:
        raise reasons[0]
    return found
