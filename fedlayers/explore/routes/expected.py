"""Which runs a study expects that have not begun."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from fedlayers.explore.service import Served
from fedlayers.runs.expected.expected_runs import expected_runs, failures
from fedlayers.runs.expected.living_sweeps import awaited

router = APIRouter(tags=["runs"])


class ExpectedRun(BaseModel):
    """A run that a sweep was to start, and that has no folder yet."""

    run: str = Field(description="The name that it will have.")
    state: str = Field(description="waiting, failed before it began, or missing: nobody is going to start it.")
    detail: str = Field(description="Who is going to start it, or why it failed.")


@router.get("/expected")
def expected(service: Served) -> list[ExpectedRun]:
    """List the runs that the study expects and that have not begun, in the order of the sweep; none of a single run."""
    study = service.place.root
    if service.place.is_run:
        return []
    begun = {*service.place.names()}
    names = [name for name in expected_runs(study) if name not in begun]
    starters, failed = awaited(study), failures(study, names)
    return [
        ExpectedRun(run=name, state="failed", detail=failed[name])
        if name in failed
        else ExpectedRun(run=name, state="waiting", detail=f"to be started by {starters[name]}")
        if name in starters
        else ExpectedRun(run=name, state="missing", detail="nobody is going to start it: give the same command again")
        for name in names
    ]
