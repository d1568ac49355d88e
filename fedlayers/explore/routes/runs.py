"""Which runs there are, and what each one is."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from fedlayers.charts.about import run_line, run_page
from fedlayers.core.errors import UserError
from fedlayers.explore.service import RunFolder, Served
from fedlayers.opening.run import Run
from fedlayers.runs.quantities import load_quantities
from fedlayers.runs.reading.pace import pace_of
from fedlayers.runs.reading.parts import check_sizes
from fedlayers.runs.reading.run_facts import run_facts

router = APIRouter(tags=["runs"])


class RunLine(BaseModel):
    """A run in a list of some."""

    run: str = Field(description="Its name, which other addresses take.")
    status: str = Field(description="running, complete, interrupted, failed … or damaged.")
    reason: str | None = Field(default=None, description="Why it is interrupted, failed or damaged.")
    facts: dict[str, Any] = Field(description="What run.json says, without lists: data set, algorithm, seed, rounds …")
    round_s: float | None = Field(default=None, description="Of a running one: mean seconds of its last rounds.")
    left_s: float | None = Field(default=None, description="Of a running one: seconds that its other rounds will take.")


class Quantity(BaseModel):
    """How to read the values of a metric."""

    name: str
    unit: str
    low: float | None = Field(description="The lowest possible value; null: no limit.")
    high: float | None
    direction: str = Field(description="higher or lower is better, or neutral.")
    symmetric: bool
    reference: str


class RunPage(BaseModel):
    """All that is said of one run without a look into its tables."""

    facts: dict[str, Any] = Field(description="What run.json says: layers, classes, client_names, hosts, versions …")
    models: list[tuple[int, str]] = Field(description="Which models are kept: round, and server or a client's number.")
    quantities: list[Quantity]


@router.get("/runs")
def runs(service: Served) -> list[RunLine]:
    """List the runs with their facts; a damaged one says why."""
    return [_line(service, name) for name in service.place.names()]


@router.get("/runs/{run}")
def run(folder: RunFolder) -> RunPage:
    """Return a run's facts, which models it kept, and how to read what it measured."""
    opened = Run(folder)
    models = [(int(number), str(owner)) for number, owner in opened.models.itertuples(index=False)]
    return RunPage.model_validate(run_page(opened.facts, models, load_quantities(folder)))


def _line(service: Served, name: str) -> RunLine:
    try:
        folder = service.place.run(name)
        facts = run_facts(folder)
        if facts["status"] != "running":  # which replaces parts
            check_sizes(folder, facts.get("round"))
    except UserError as error:
        return RunLine(run=name, status="damaged", reason=str(error), facts={})
    pace = pace_of(folder, facts) if facts["status"] == "running" else None
    paced = {"round_s": pace.round_s, "left_s": pace.left_s} if pace else {}
    return RunLine.model_validate({**run_line(name, facts), **paced})
