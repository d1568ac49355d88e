"""Charts of the view Classes and training."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from fedlayers.charts.training import classes, dynamics
from fedlayers.explore.routes.charts.answering import CHARTED, charted
from fedlayers.explore.service import RunFolder, Served

router = APIRouter(prefix="/runs/{run}/charts/training", tags=["charts"], responses=CHARTED)

Metric = Annotated[str | None, Query(max_length=200, description="Its name in the table; the first one if not given.")]


@router.get("/classes", response_class=Response)
def class_scores(service: Served, folder: RunFolder, metric: Metric = None) -> Response:
    """Return a score of every class on every client's examples, in all rounds."""
    return charted(classes.class_scores(service.tables_of([folder], metric=[*classes.CLASS_METRICS]), metric))


@router.get("/tiers", response_class=Response)
def tier_scores(service: Served, folder: RunFolder, metric: Metric = None) -> Response:
    """Return a score of head, medium and tail classes over the rounds."""
    return charted(classes.tier_scores(service.tables_of([folder], metric=[*classes.TIER_METRICS]), metric))


@router.get("/flow", response_class=Response)
def gradient_flow(service: Served, folder: RunFolder, metric: Metric = None) -> Response:
    """Return the size of gradients, weights or updates of each layer over the rounds."""
    return charted(dynamics.gradient_flow(service.tables_of([folder], metric=[*dynamics.FLOW_METRICS]), metric))


@router.get("/alarms", response_class=Response)
def alarms(service: Served, folder: RunFolder) -> Response:
    """Return what was wrong with gradients while clients trained."""
    return charted(dynamics.alarms(service.tables_of([folder], metric=[dynamics.ALARMS])))


@router.get("/attention", response_class=Response)
def attention(service: Served, folder: RunFolder, metric: Metric = None) -> Response:
    """Return where heads of attention layers look over the rounds."""
    return charted(dynamics.attention(service.tables_of([folder], metric=[*dynamics.ATTENTION_METRICS]), metric))


@router.get("/resources", response_class=Response)
def resources(service: Served, folder: RunFolder, metric: Metric = None) -> Response:
    """Return times, memory, bytes and operations over the rounds."""
    return charted(dynamics.resources(service.tables_of([folder]), metric))
