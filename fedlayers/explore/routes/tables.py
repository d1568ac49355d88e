"""Slices of a run's tables: rows by the values of columns."""

from dataclasses import replace
from typing import Annotated, Any, Literal

import pyarrow as pa
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from fedlayers.core.errors import UserError
from fedlayers.explore.arrow import ARROW, as_arrow, as_json
from fedlayers.explore.service import RunFolder, Served
from fedlayers.explore.slices import CHOOSABLE, Indexed
from fedlayers.runs.reading.selection import Value

router = APIRouter(tags=["tables"])

Table = Literal["records", "pairs", "spectra", "resources"]
Number = Annotated[int, Field(ge=0, le=2**31 - 1)]
Text = Annotated[str, Field(max_length=500)]
_MOST_JSON, _MOST = 10_000, 10_000_000


class Wanted(BaseModel, extra="forbid"):
    """Which rows and columns: rows have one of the values in each column that is named."""

    metric: list[Text] = []
    round: list[Number] = []
    moment: list[Text] = []
    owner: list[Text] = []
    model: list[Text] = []
    client: list[Number] = []
    layer: list[Text] = []
    layer_index: list[Number] = []
    subject: list[Text] = []
    step: list[Number] = []
    variant: list[Text] = []
    scope: list[Text] = []
    status: list[Text] = []
    other: list[Number] = []
    other_round: list[Number] = []
    other_layer: list[Text] = []
    unit: list[Text] = []
    columns: list[Text] = Field(default=[], description="Those that are wanted; all if none is named.")
    offset: int = Field(default=0, ge=0, le=2**40, description="How many of the rows found are passed over.")
    limit: int | None = Field(
        default=None, ge=1, le=_MOST, description="How many rows at most; JSON has 10,000 at most."
    )
    format: Literal["arrow", "json"] = "arrow"

    def values(self) -> dict[str, list[Value]]:
        """Return the columns that rows are chosen by, with the values they may have."""
        return {name: asked for name in CHOOSABLE if (asked := getattr(self, name))}


_ROWS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The rows, in the table's order, as an Arrow stream; X-Total-Rows counts them without limit.",
        "content": {ARROW: {"schema": {"type": "string", "format": "binary"}}, "application/json": {"schema": {}}},
    }
}


@router.get("/runs/{run}/tables/{table}", response_class=Response, responses=_ROWS)
def rows(service: Served, folder: RunFolder, table: Table, wanted: Annotated[Wanted, Query()]) -> Response:
    """Return the rows of a table that have the values asked for."""
    as_text = wanted.format == "json"
    limit = min(wanted.limit or _MOST, _MOST_JSON if as_text else _MOST)

    def chosen(held: Indexed) -> tuple[pa.Table, int]:
        names = _columns(held, wanted.columns)
        found = held.rows(_choosable(held, table, wanted.values()))
        return held.take(found[wanted.offset : wanted.offset + limit], names), len(found)

    return (as_json if as_text else as_arrow)(*service.tables.asked(folder, table, chosen))


class OfRuns(Wanted):
    """The same of several runs."""

    run: list[Text] = Field(default=[], max_length=1000, description="The runs; all complete ones if none is named.")


@router.get("/tables/{table}", response_class=Response, responses=_ROWS)
def rows_of_runs(service: Served, table: Table, wanted: Annotated[OfRuns, Query()]) -> Response:
    """Return rows of several runs, beside what tells the runs apart: data set, algorithm, seed, what was varied."""
    folders = [service.place.run(name) for name in dict.fromkeys(wanted.run)] or service.complete_runs()
    if not folders:
        raise UserError("run must name one or more, for no run of this folder is complete yet")
    filters: dict[str, Any] = wanted.values()
    found = replace(service.tables_of(folders, **filters), several=True)
    found.check()
    frame = getattr(found, table)
    for name in wanted.columns:
        if name not in frame:
            raise UserError(f"columns must be some of {', '.join(frame)}, got {name!r}")
    as_text = wanted.format == "json"
    limit = min(wanted.limit or _MOST, _MOST_JSON if as_text else _MOST)
    shown = frame[list(dict.fromkeys(wanted.columns)) or list(frame)].iloc[wanted.offset : wanted.offset + limit]
    return (as_json if as_text else as_arrow)(pa.Table.from_pandas(shown, preserve_index=False), len(frame))


@router.get("/runs/{run}/tables/{table}/values")
def values(service: Served, folder: RunFolder, table: Table) -> dict[str, list[Value]]:
    """Return which values rows have in the columns that they can be chosen by."""

    def there(held: Indexed) -> dict[str, list[Value]]:
        return {column: held.values(column) for column in held.choosable}

    return service.tables.asked(folder, table, there)


def _columns(held: Indexed, asked: list[str]) -> list[str]:
    for name in asked:
        if name not in held.columns:
            raise UserError(f"columns must be some of {', '.join(held.columns)}, got {name!r}")
    return asked or list(held.columns)


def _choosable(held: Indexed, table: str, asked: dict[str, list[Value]]) -> dict[str, list[Value]]:
    for name in asked:
        if name not in held.choosable:
            raise UserError(f"{table} have no column {name}: choose their rows by {', '.join(held.choosable)}")
    return asked
