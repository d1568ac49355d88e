"""Charts of the view Layers."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from fedlayers.charts.layers.heat_map import layer_heat_map
from fedlayers.charts.layers.plan import federation_plan, layer_transition
from fedlayers.charts.layers.profile import layer_profile
from fedlayers.charts.layers.readouts import layer_readouts
from fedlayers.charts.layers.spectra import layer_spectra
from fedlayers.explore.arrow import ArrowResponse
from fedlayers.explore.routes.charts.answering import CHARTED, charted
from fedlayers.explore.routes.charts.parameters import Client, Metric, Round
from fedlayers.explore.service import RunFolder, Served
from fedlayers.views.chain.questions import QUESTION_OF
from fedlayers.views.plans.shared_layers import METRIC as SHARED
from fedlayers.views.plans.transitions import METRICS as OF_TRANSITIONS

router = APIRouter(prefix="/runs/{run}/charts/layers", tags=["charts"], responses=CHARTED)


@router.get("", response_class=Response)
def layers(service: Served, folder: RunFolder) -> Response:
    """Return which metrics of layers there are and in which rounds, and what else is known of layers."""
    return ArrowResponse(service.answers.layers(folder))


@router.get("/heat_map", response_class=Response)
def heat_map(
    service: Served,
    folder: RunFolder,
    metric: Metric,
    round: Round = None,
    series: Annotated[str | None, Query(max_length=500, description="Of the metric; the first one if absent.")] = None,
) -> Response:
    """Return a metric's values of clients and server at layers in one round."""
    return charted(layer_heat_map(service.tables_of([folder], metric=metric), metric, round, series))


@router.get("/profile", response_class=Response)
def profile(service: Served, folder: RunFolder, metric: Metric, round: Round = None) -> Response:
    """Return a metric over the layers in one round: means with bands, or values with standard errors, and chance."""
    return charted(layer_profile(service.tables_of([folder], metric=metric), metric, round))


@router.get("/deviations", response_class=Response)
def deviations(service: Served, folder: RunFolder, round: Round = None) -> Response:
    """Return how far each client is from the others in every metric at every layer in one round."""
    return ArrowResponse(service.answers.deviations(folder, round))


@router.get("/spectra", response_class=Response)
def spectra(
    service: Served,
    folder: RunFolder,
    layer: Annotated[str, Query(max_length=500, description="A layer's name.")],
    round: Round = None,
) -> Response:
    """Return the eigenvalue densities of a layer's Hessian, of each client, in one round."""
    return charted(layer_spectra(service.tables_of([folder]), layer, round))


@router.get("/plan", response_class=Response)
def plan(service: Served, folder: RunFolder, client: Client = None) -> Response:
    """Return which layers are shared in which round by all clients together, or by one, and why."""
    tables = service.tables_of([folder], metric=[SHARED, *OF_TRANSITIONS])
    return charted(federation_plan(tables, client))


@router.get("/transition", response_class=Response)
def transition(service: Served, folder: RunFolder) -> Response:
    """Return how far each layer has risen to the threshold of a transition, of every client and of all together."""
    return charted(layer_transition(service.tables_of([folder], metric=OF_TRANSITIONS)))


@router.get("/readouts", response_class=Response)
def readouts(service: Served, folder: RunFolder) -> Response:
    """Return what each layer predicts, keeps and adds, by depth, and what that answers."""
    return charted(layer_readouts(service.tables_of([folder], metric=list(QUESTION_OF))))
