"""How clients differ, as a run measured it itself: what a saved report shows in the view Heterogeneity."""

from fastapi import APIRouter
from starlette.responses import Response

from fedlayers.charts.differing import client_disagreements, client_record_clusters, client_verdicts
from fedlayers.explore.routes.charts.answering import CHARTED, charted
from fedlayers.explore.service import RunFolder, Served

router = APIRouter(prefix="/runs/{run}/charts/differing", tags=["charts"], responses=CHARTED)


@router.get("/verdicts", response_class=Response)
def verdicts(service: Served, folder: RunFolder) -> Response:
    """Return the tests of each client for label, feature and concept shift, with the verdict in words."""
    return charted(client_verdicts(service.tables_of([folder])))


@router.get("/disagreements", response_class=Response)
def disagreements(service: Served, folder: RunFolder) -> Response:
    """Return how far each client's own and the common model disagree over the rounds."""
    return charted(client_disagreements(service.tables_of([folder])))


@router.get("/clusters", response_class=Response)
def clusters(service: Served, folder: RunFolder) -> Response:
    """Return size and accuracy of the clusters of records on which each client's two models disagree."""
    return charted(client_record_clusters(service.tables_of([folder])))
