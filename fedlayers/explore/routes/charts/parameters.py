"""What charts of a run are asked by."""

from typing import Annotated

from fastapi import Query

_INT32 = 2**31 - 1

Metric = Annotated[str, Query(max_length=500, description="A metric, as its tables name it.")]
Round = Annotated[
    int | None,
    Query(ge=0, le=_INT32, description="A round; where nothing was measured in it, the last one before with values."),
]
Client = Annotated[int | None, Query(ge=0, le=_INT32, description="A client's number.")]
