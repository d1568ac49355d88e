"""The application: its routes, who is answered, and how mistakes are told."""

from collections.abc import Callable, Iterable
from importlib.metadata import version

from fastapi import FastAPI
from starlette.responses import HTMLResponse, Response

from fedlayers.explore.answers import RunAnswers
from fedlayers.explore.calm import Attended
from fedlayers.explore.describing import description_page
from fedlayers.explore.guard import Guard
from fedlayers.explore.mistakes.refusals import PROBLEMS, answer_problems
from fedlayers.explore.place import Place
from fedlayers.explore.routes import annotations, expected, heterogeneity, jobs, live, page, runs, tables
from fedlayers.explore.routes.charts import clients, differing, layers, rounds, study, table, training
from fedlayers.explore.service import Service

_ABOUT = (
    "Runs of fedlayers: what they are, slices of their tables, what happens now, and notes about them. Nothing is "
    "written but annotations. Bulk data comes as Arrow streams."
)


def application(
    place: Place,
    token: str | None = None,
    names: Iterable[str] = (),
    leaving: Callable[[], bool] = lambda: False,
    answers: RunAnswers | None = None,
) -> FastAPI:
    """Return the application that answers from a place.

    Args:
        place: a run's folder, or a study's.
        token: what requests must bring, see :class:`fedlayers.explore.guard.Guard`.
        names: names by which this machine is called beside ``localhost``.
        leaving: says whether the service is about to end: streams of events end then.
        answers: what is known of the runs already.
    """
    # Its own pages of documentation load scripts from elsewhere.
    app = FastAPI(title="fedlayers", version=version("fedlayers"), description=_ABOUT, docs_url=None, redoc_url=None)
    service = Service(place, answers or RunAnswers(), leaving)
    app.state.service = service
    app.add_middleware(Attended, calm=service.tables.calm)
    app.add_middleware(Guard, token=token, names=tuple(names))
    answer_problems(app)
    parts = (
        runs,
        expected,
        tables,
        heterogeneity,
        jobs,
        annotations,
        live,
        rounds,
        study,
        table,
        layers,
        clients,
        training,
        differing,
    )
    for part in parts:
        app.include_router(part.router, prefix="/api", responses=PROBLEMS)
    app.include_router(page.router)

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        return HTMLResponse(description_page(app.openapi()))

    return app
