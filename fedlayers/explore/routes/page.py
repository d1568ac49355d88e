"""The page itself, and the files that it loads."""

import json
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Cookie, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from fedlayers.charts import web_files
from fedlayers.charts.over_rounds import FEW_CLIENTS
from fedlayers.charts.questions import path_of
from fedlayers.core.errors import UserError
from fedlayers.explore.place import Place
from fedlayers.explore.refusals import NotThere
from fedlayers.explore.routes.page_files import address_of, addresses_of_views, page_file
from fedlayers.explore.service import Served
from fedlayers.runs.quantities import load_quantities
from fedlayers.views.curves import CURVES

router = APIRouter(include_in_schema=False)

_YEAR_S = 31_536_000
# Nothing comes from elsewhere, no text is run but the one that begins, and no other page may frame this one.
_POLICY = (
    "default-src 'self'; script-src 'self' '{digest}'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


# What the view Rounds asks of a run beside its curves, see web/js/views/rounds.js.
_OF_ROUNDS = ("measured", "participation", "resources")
_FIRST = "first.js"
# What a reader may have chosen, see web/js/theme.js.
_THEMES = ("light", "dark")


@router.get("/")
def first(service: Served, fedlayers_theme: Annotated[str | None, Cookie()] = None) -> Response:
    """Return the page; its files are kept by a browser for as long as they are the same."""
    told = {"views": addresses_of_views(), "library": address_of(web_files.CHARTS), **_asked_first(service.place)}
    asked, start = web_files.in_script(json.dumps(told, separators=(",", ":"))), _text(_FIRST)
    head = [
        # Before what takes long: so that all of it comes meanwhile.
        f'<script type="application/json" id="first">{asked}</script>',
        f"<script>{start}</script>",
        *(f"<style>{_text(path)}</style>" for path in web_files.STYLES),
    ]
    page = web_files.page("\n".join(head), f'<script src="{address_of(web_files.TABLES)}"></script>')
    if fedlayers_theme in _THEMES:
        page = page.replace("<html ", f'<html data-theme="{fedlayers_theme}" ', 1)
    policy = _POLICY.format(digest=web_files.digest_of(start))
    return HTMLResponse(page, headers={"Cache-Control": "no-cache", "Content-Security-Policy": policy})


def _text(path: str) -> str:
    held = page_file(path)
    assert held is not None
    return held.contents.decode()


def _asked_first(place: Place) -> dict[str, object]:
    """Return which view is shown where the address names none, and what the page asks at first: always, and for it."""
    names = place.names()
    if not place.is_run:
        return {"view": "study" if len(names) > 1 else "rounds", "always": ["api/runs"], "first": []}
    run = path_of("runs", names[0])
    try:
        curves = [name for name in CURVES if name in load_quantities(place.root)]
    except UserError:  # the page says so where it asks
        curves = []
    charts = [f"charts/{name}" for name in _OF_ROUNDS]
    charts += [f"charts/curves?{urlencode({'few': FEW_CLIENTS, 'metric': name})}" for name in curves]
    first = [f"api/{run}/{chart}" for chart in charts]
    return {"view": "rounds", "always": ["api/runs", f"api/{run}"], "first": first}


async def file(request: Request) -> Response:
    """Return a file of the page: of the version that the page names for ever, else for now.

    It comes from memory, without a thread and without a look at parameters.
    """
    path = str(request.path_params["path"])
    held = page_file(path)
    if held is None:
        raise NotThere(f"there is no web/{path}: load the page again")
    is_named = request.query_params.get("v") == held.version
    kept = f"private, max-age={_YEAR_S}, immutable" if is_named else "no-cache"
    return Response(held.contents, media_type=held.kind, headers={"Cache-Control": kept})


# One of Starlette's own routes, see above.
router.routes.append(Route("/web/{path:path}", file, include_in_schema=False))
