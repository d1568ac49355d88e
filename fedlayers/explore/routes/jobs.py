"""Slow work that goes on: how far it is, and how it is stopped."""

from typing import Annotated

from fastapi import APIRouter, Path

from fedlayers.explore.routes.answering import JobState, state_of
from fedlayers.explore.service import Served

router = APIRouter(tags=["slow work"])

Name = Annotated[str, Path(max_length=64, description="A job's name, as the answer with status 202 told it.")]


@router.get("/jobs/{job}")
def job(service: Served, job: Name) -> JobState:
    """Return where a piece of slow work stands; once it is done, ask again for what it was to find."""
    return state_of(service.jobs.job(job))


@router.delete("/jobs/{job}")
def cancel(service: Served, job: Name) -> JobState:
    """Stop a piece of slow work, for all who wait for it."""
    return state_of(service.jobs.cancel(job))
