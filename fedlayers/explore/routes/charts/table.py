"""The view Table: rows as they are, and how to get them in Python."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from fedlayers.charts.rows import python_line
from fedlayers.explore.routes.tables import Table, Wanted
from fedlayers.explore.service import RunFolder

router = APIRouter(prefix="/runs/{run}/tables", tags=["tables"])


class PythonLine(BaseModel):
    """What gives the same rows elsewhere."""

    python: str = Field(description="A line that gives the same rows as a frame, after import fedlayers.")


@router.get("/{table}/python")
def python(folder: RunFolder, table: Table, wanted: Annotated[Wanted, Query()]) -> PythonLine:
    """Return the line of Python that gives the rows of a table that have the values asked for."""
    last = None if wanted.limit is None else wanted.offset + wanted.limit
    columns = wanted.columns
    return PythonLine(python=python_line(folder, table, wanted.values(), columns, wanted.offset, last))
