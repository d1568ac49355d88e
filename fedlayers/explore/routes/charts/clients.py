"""Charts of the view Clients."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from fedlayers.charts.clients.holdings import client_holdings
from fedlayers.charts.clients.matrix import client_matrix
from fedlayers.charts.clients.memberships import cluster_flows
from fedlayers.charts.clients.merging import client_map, client_merging
from fedlayers.explore.arrow import ArrowResponse
from fedlayers.explore.routes.charts.answering import CHARTED, charted
from fedlayers.explore.routes.charts.parameters import Metric, Round
from fedlayers.explore.service import RunFolder, Served
from fedlayers.runs.reading.tables import Tables
from fedlayers.views.clusters import MEMBERSHIP

router = APIRouter(prefix="/runs/{run}/charts/clients", tags=["charts"], responses=CHARTED)


Layer = Annotated[
    str | None, Query(max_length=500, description="A layer, or whole model, which is meant if that was compared.")
]
Setting = Annotated[
    str | None, Query(max_length=500, description="Of several matrices of the measure; the first if absent.")
]


def _tables(service: Served, folder: RunFolder, metric: Metric) -> Tables:
    return service.tables_of([folder], metric=[metric, MEMBERSHIP])


# What is needed for a chart of one measure.
MeasureTables = Annotated[Tables, Depends(_tables)]


@router.get("", response_class=Response)
def clients(service: Served, folder: RunFolder) -> Response:
    """Return by what clients are compared, at which layers and in which rounds."""
    return ArrowResponse(service.answers.clients(folder))


@router.get("/matrix", response_class=Response)
def matrix(
    tables: MeasureTables, metric: Metric, layer: Layer = None, round: Round = None, setting: Setting = None
) -> Response:
    """Return a measure between clients in one round, and the orders in which clients may stand."""
    return charted(client_matrix(tables, metric, layer, round, setting))


@router.get("/merging", response_class=Response)
def merging(
    tables: MeasureTables, metric: Metric, layer: Layer = None, round: Round = None, setting: Setting = None
) -> Response:
    """Return how clients merge by average linkage, as lines of a dendrogram."""
    return charted(client_merging(tables, metric, layer, round, setting))


@router.get("/map", response_class=Response)
def map_of_clients(
    tables: MeasureTables, metric: Metric, layer: Layer = None, round: Round = None, setting: Setting = None
) -> Response:
    """Return places of clients whose distances are as near as can be, and lines between neighbours."""
    return charted(client_map(tables, metric, layer, round, setting))


@router.get("/flows", response_class=Response)
def flows(
    service: Served,
    folder: RunFolder,
    by: Annotated[
        str | None, Query(max_length=500, description="How clusters were found; the first if absent.")
    ] = None,
) -> Response:
    """Return how many clients go from which cluster to which from round to round."""
    return charted(cluster_flows(service.tables_of([folder], metric=MEMBERSHIP), by))


@router.get("/partition", response_class=Response)
def partition(service: Served, folder: RunFolder) -> Response:
    """Return how many examples of each class each client holds."""
    return charted(client_holdings(service.tables_of([folder])))
