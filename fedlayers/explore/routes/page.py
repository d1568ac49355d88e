"""The page itself, and the files that it loads."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from fedlayers.charts import web_files
from fedlayers.explore.refusals import NotThere

router = APIRouter(include_in_schema=False)

# What the machine believes of file names does not count: a module of another type is not run.
_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".txt": "text/plain", ".md": "text/plain"}
_YEAR_S = 31_536_000
# Nothing comes from elsewhere, no text is run, and no other page may frame this one.
_POLICY = (
    "default-src 'self'; script-src 'self' '{digest}'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


@router.get("/")
def first() -> Response:
    """Return the page; its files are kept by a browser for as long as they are the same."""
    files = web_files.web_files()
    addresses = {path: f"./web/{path}?v={_held(file).version}" for path, file in files.items()}
    names = {name: addresses[path] for name, path in web_files.module_names(files).items()}
    known = web_files.import_map(names)
    head = "\n".join(f'<link rel="stylesheet" href="{addresses[path]}">' for path in web_files.STYLES)
    scripts = [
        *(f'<script src="{addresses[path]}"></script>' for path in web_files.LIBRARIES),
        f'<script type="importmap">{known}</script>',
        *(f'<link rel="modulepreload" href="{address}">' for address in names.values()),
        f'<script type="module" src="{addresses[web_files.ENTRY]}"></script>',
    ]
    policy = _POLICY.format(digest=web_files.digest_of(known))
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": policy}
    return HTMLResponse(web_files.page(head, "\n".join(scripts)), headers=headers)


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
