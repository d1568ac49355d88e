"""The page itself, and the files that it loads."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from fedlayers.charts import web_files
from fedlayers.charts.questions import path_of
from fedlayers.core.errors import UserError
from fedlayers.explore.place import Place
from fedlayers.explore.refusals import NotThere
from fedlayers.explore.service import Served
from fedlayers.runs.quantities import load_quantities
from fedlayers.views.curves import CURVES

router = APIRouter(include_in_schema=False)

# What the machine believes of file names does not count: a module of another type is not run.
_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".txt": "text/plain", ".md": "text/plain"}
_YEAR_S = 31_536_000
# Nothing comes from elsewhere, no text is run, and no other page may frame this one.
_POLICY = (
    "default-src 'self'; script-src 'self' {digests}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


# What the view Rounds asks of a run beside its curves, see web/js/views/rounds.js.
_OF_ROUNDS = ("measured", "participation", "resources")
_FIRST = "first.js"


@router.get("/")
def first(service: Served) -> Response:
    """Return the page; its files are kept by a browser for as long as they are the same."""
    files = web_files.web_files()
    addresses = {path: f"./web/{path}?v={_held(file).version}" for path, file in files.items()}
    names = {name: addresses[path] for name, path in web_files.module_names(files).items()}
    known = web_files.import_map(names)
    start = _held(files[_FIRST]).contents.decode()
    seen = _modules_first(tuple((path, _held(file)) for path, file in files.items() if path.startswith("js/")))
    begun = {view: [addresses[path] for path in needed] for view, needed in seen.items()}
    asked = web_files.in_script(json.dumps({"views": begun, **_asked_first(service.place)}, separators=(",", ":")))
    head = [
        # Before what takes long, also before the styles, for which a script waits: so that all of it comes meanwhile.
        f'<script type="importmap">{known}</script>',
        f'<script type="application/json" id="first">{asked}</script>',
        f"<script>{start}</script>",
        *(f'<link rel="stylesheet" href="{addresses[path]}">' for path in web_files.STYLES),
    ]
    scripts = [
        *(f'<script src="{addresses[path]}"></script>' for path in web_files.LIBRARIES),
        f'<script type="module" src="{addresses[web_files.ENTRY]}"></script>',
    ]
    policy = _POLICY.format(digests=" ".join(f"'{web_files.digest_of(text)}'" for text in (known, start)))
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": policy}
    return HTMLResponse(web_files.page("\n".join(head), "\n".join(scripts)), headers=headers)


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
    charts += [f"charts/curves?{urlencode({'metric': name})}" for name in curves]
    first = [f"api/{run}/{chart}" for chart in charts]
    return {"view": "rounds", "always": ["api/runs", f"api/{run}"], "first": first}


@lru_cache(maxsize=2)
def _modules_first(modules: "tuple[tuple[str, _File], ...]") -> Mapping[str, list[str]]:
    return web_files.modules_of_views({path: held.contents.decode() for path, held in modules})


async def file(request: Request) -> Response:
    """Return a file of the page: of the version that the page names for ever, else for now.

    A page asks for some eighty at once: they come from memory, without a thread and without a look at parameters.
    """
    files, path = web_files.web_files(), str(request.path_params["path"])
    if path not in files:
        raise NotThere(f"there is no web/{path}: load the page again")
    held = _held(files[path])
    is_named = request.query_params.get("v") == held.version
    kept = f"private, max-age={_YEAR_S}, immutable" if is_named else "no-cache"
    return Response(held.contents, media_type=_TYPES[files[path].suffix], headers={"Cache-Control": kept})


# One of Starlette's own routes, see above.
router.routes.append(Route("/web/{path:path}", file, include_in_schema=False))


@dataclass(frozen=True)
class _File:
    """What is sent of a file, and some letters that differ where its contents do."""

    contents: bytes
    version: str


def _held(file: Path) -> _File:
    state = file.stat()
    return _read(file, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=200)
def _read(file: Path, changed: int, size: int) -> _File:
    contents = file.read_bytes()
    return _File(contents, hashlib.sha256(contents).hexdigest()[:12])
