"""How slow work is answered: with its result where it comes soon, else with the job that does it."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
from fastapi import Query
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from fedlayers.core.errors import UserError
from fedlayers.explore.arrow import ARROW, as_arrow
from fedlayers.explore.service import Service
from fedlayers.explore.slow.jobs import ENDED, FAILED, SlowJob
from fedlayers.explore.slow.made_of import made_of
from fedlayers.explore.slow.worker import Asked

_LOOK_S = 0.02
# Its module is imported where the work is done: that takes seconds.
_WORKS = "fedlayers.explore.slow.works"

# How long somebody waits for a result before the job is told instead.
Wait = Annotated[
    float,
    Query(ge=0, le=4, allow_inf_nan=False, description="Seconds to wait for the result before a job is told instead."),
]


class JobState(BaseModel):
    """Where a piece of slow work stands."""

    job: str = Field(description="Its name for /api/jobs/{job}.")
    state: str = Field(description="waiting, running, done, failed or cancelled.")
    share: float | None = Field(description="How much is done, from 0 to 1; null if that is not known.")
    message: str = Field(description="What it does at the moment, or why it failed.")


# Of every route with slow work, for its description.
SLOW: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The rows as an Arrow stream.",
        "content": {ARROW: {"schema": {"type": "string", "format": "binary"}}},
    },
    202: {"model": JobState, "description": "It takes longer: ask again, or follow /api/jobs/{job}."},
}


def state_of(job: SlowJob) -> JobState:
    """Return where a job stands."""
    return JobState(job=job.key, state=job.state, share=job.share, message=job.message)


async def slow_answer(
    service: Service, run: Path, work: str, settings: Mapping[str, Any], wait: float, part: str = "records"
) -> Response:
    """Return the result of slow work, or after some seconds the job that does it.

    Args:
        service: what answers.
        run: the run's folder.
        work: a function of :mod:`fedlayers.explore.slow.works`.
        settings: what it takes.
        wait: seconds.
        part: of what it finds.

    Raises:
        UserError: it cannot be done.
    """
    asked = Asked(f"{_WORKS}:{work}", run, settings)
    end = time.monotonic() + wait
    contents = await run_in_threadpool(made_of, run)
    while True:
        found = await run_in_threadpool(service.jobs.ask, asked, contents, part)
        if isinstance(found, pa.Table):
            return as_arrow(found, found.num_rows)
        # A service that ends leaves nobody waiting: it would be cut off, and say so in a traceback.
        while found.state not in ENDED and time.monotonic() < end and not service.leaving():
            await asyncio.sleep(_LOOK_S)
        if found.state == FAILED:
            raise UserError(found.message)
        if found.state not in ENDED or time.monotonic() >= end or service.leaving():
            return JSONResponse(state_of(found).model_dump(), 202, headers={"Location": f"/api/jobs/{found.key}"})
