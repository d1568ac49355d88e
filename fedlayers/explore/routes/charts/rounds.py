"""Charts of the view Rounds."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from fedlayers.explore.arrow import ArrowResponse
from fedlayers.explore.routes.charts.answering import CHARTED
from fedlayers.explore.routes.tables import Table
from fedlayers.explore.service import RunFolder, Served

router = APIRouter(prefix="/runs/{run}/charts", tags=["charts"], responses=CHARTED)

Metric = Annotated[str, Query(max_length=500, description="A metric's name in the tables.")]
Layer = Annotated[str | None, Query(max_length=500, description="A layer's name; the whole model if absent.")]
Client = Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Drawn in any case, where not all clients are.")]
Few = Annotated[
    int | None, Query(ge=0, le=2**31 - 1, description="Of more clients than these none but that one has own values.")
]


@router.get("/measured", response_class=Response)
def metrics(service: Served, folder: RunFolder, table: Table = "records") -> Response:
    """Return the metrics that a table of the run has: of the whole model, of layers, or of both."""
    return ArrowResponse(service.answers.measured(folder, table))


@router.get("/curves", response_class=Response)
def curves(
    service: Served, folder: RunFolder, metric: Metric, layer: Layer = None, client: Client = None, few: Few = None
) -> Response:
    """Return a metric over the rounds: of each line mean and band over clients, and the values of clients."""
    return ArrowResponse(service.answers.curves(folder, metric, layer, client, few))


@router.get("/participation", response_class=Response)
def who_took_part(service: Served, folder: RunFolder) -> Response:
    """Return how many clients trained and how many failed in every round, and who failed why."""
    return ArrowResponse(service.answers.participation(folder))


@router.get("/resources", response_class=Response)
def what_it_took(service: Served, folder: RunFolder) -> Response:
    """Return times, memory and bytes over the rounds: mean and band over clients, their sum, and the server's."""
    return ArrowResponse(service.answers.resources(folder))
