"""The page itself, and the files that it loads."""

import json
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Cookie, Request
from pydantic import TypeAdapter
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from fedlayers.charts import web_files
from fedlayers.charts.questions import key_of, path_of
from fedlayers.core.errors import UserError
from fedlayers.explore.mistakes.statuses import NotThere
from fedlayers.explore.routes import runs
from fedlayers.explore.routes.page_files import address_of, addresses_of_views, page_file
from fedlayers.explore.service import Served, Service

router = APIRouter(include_in_schema=False)

_YEAR_S = 31_536_000
_LINES = TypeAdapter(list[runs.RunLine])
# Nothing comes from elsewhere, no text is run but the one that begins, and no other page may frame this one.
_POLICY = (
    "default-src 'self'; script-src 'self' '{digest}'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


_FIRST = "first.js"
# So long the page waits for what it can hold from the beginning; what is not there by then it asks for.
_WAIT_S = 0.1
# What a reader may have chosen, see web/js/theme.js.
_THEMES = ("light", "dark")


@router.get("/")
def first(service: Served, fedlayers_theme: Annotated[str | None, Cookie()] = None) -> Response:
    """Return the page; its files are kept by a browser for as long as they are the same."""
    held = _held_first(service)
    told = {
        "views": addresses_of_views(),
        "library": address_of(web_files.CHARTS),
        "tables": address_of(web_files.TABLES),
        **_asked_first(service, held),
    }
    asked, start = web_files.in_script(json.dumps(told, separators=(",", ":"))), _text(_FIRST)
    head = [
        # Before what takes long: so that all of it comes meanwhile.
        f'<script type="application/json" id="first">{asked}</script>',
        f"<script>{start}</script>",
        *(f"<style>{_text(path)}</style>" for path in web_files.STYLES),
    ]
    answers = ",".join(f"{json.dumps(key, ensure_ascii=False)}:{answer}" for key, answer in held.items())
    answered = f'<script type="application/json" id="first-answers">{{{web_files.in_script(answers)}}}</script>'
    page = web_files.page("\n".join(head), answered)
    if fedlayers_theme in _THEMES:
        page = page.replace("<html ", f'<html data-theme="{fedlayers_theme}" ', 1)
    policy = _POLICY.format(digest=web_files.digest_of(start))
    return HTMLResponse(page, headers={"Cache-Control": "no-cache", "Content-Security-Policy": policy})


def _text(path: str) -> str:
    held = page_file(path)
    assert held is not None
    return held.contents.decode()


def _held_first(service: Service) -> dict[str, str]:
    """Return what the page holds from the beginning where a place is one run: key of a question -> answer as JSON."""
    place = service.place
    if not place.is_run:
        return {}
    try:
        folder = place.run(place.root.name)
        about = _LINES.dump_json(runs.runs(service)), runs.run(folder).model_dump_json().encode()
    except UserError:  # the page says so where it asks
        return {}
    keys = key_of("runs"), key_of(path_of("runs", folder.name))
    known = {key: f'{{"json":{answer.decode()}}}' for key, answer in zip(keys, about, strict=True)}
    return known | service.answers.first_soon(folder, _WAIT_S)


def _asked_first(service: Service, held: Mapping[str, str]) -> dict[str, object]:
    """Return which view is shown where the address names none, and what the page asks at first: always, and for it."""
    place = service.place
    names = place.names()
    if not place.is_run:
        return {"view": "study" if len(names) > 1 else "rounds", "always": ["api/runs"], "first": []}
    run = path_of("runs", names[0])
    always = [f"api/{path}" for path in ("runs", run) if key_of(path) not in held]
    first = [
        f"api/{run}/charts/{question.chart}{'?' if question.params else ''}{urlencode(question.params)}"
        for question in service.answers.asked_first(place.root)
        if question.key(place.root) not in held
    ]
    return {"view": "rounds", "always": always, "first": first}


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
