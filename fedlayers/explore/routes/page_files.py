"""The files of the page as they are sent: from memory, with some letters each that differ where its contents do."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fedlayers.charts.joined import joined
from fedlayers.charts.web_files import ENTRY, module_names, modules_of_views, web_files

# What the machine believes of file names does not count: a module of another type is not run.
_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".txt": "text/plain", ".md": "text/plain"}
# Modules as one file: those that a view needs, and all others.
_JOINED = {"own": "joined/{}.js", "others": "joined/but-{}.js"}
# A browser keeps what it has got: another letter whenever they are joined in another way.
_FORM = "b"
# Of what a view needs nearly all is called: a browser that knows this compiles it while it comes, in another thread.
_CALLED = "//# allFunctionsCalledOnLoad\n"


@dataclass(frozen=True)
class PageFile:
    """What is sent of a file.

    Attributes:
        contents: its bytes.
        kind: its media type.
        version: letters that differ where its contents do.
    """

    contents: bytes
    kind: str
    version: str


_Modules = tuple[tuple[str, PageFile], ...]


def page_file(path: str) -> PageFile | None:
    """Return what is sent of a path below ``web/``, None if there is no such file."""
    files = web_files()
    if path in files:
        return _held(files[path])
    return _joined(path, _modules())


def address_of(path: str) -> str:
    """Return the address of a file in its version of now, which a browser may keep for ever."""
    return f"./web/{path}?v={_held(web_files()[path]).version}"


def addresses_of_views() -> dict[str, dict[str, str]]:
    """Return view -> the addresses of the modules that it needs, as one file, and of all others."""
    modules = _modules()
    version = _version_of(modules)
    return {
        view: {part: f"./web/{name.format(view)}?v={version}" for part, name in _JOINED.items()}
        for view in _needed(modules)
    }


def _modules() -> _Modules:
    return tuple((path, _held(file)) for path, file in web_files().items() if path.startswith("js/"))


def _version_of(modules: _Modules) -> str:
    return _digest("".join([_FORM, *(held.version for _, held in modules)]).encode())


@lru_cache(maxsize=2)
def _needed(modules: _Modules) -> Mapping[str, list[str]]:
    return modules_of_views({path: held.contents.decode() for path, held in modules})


@lru_cache(maxsize=20)
def _joined(path: str, modules: _Modules) -> PageFile | None:
    asked = {name.format(view): (view, part) for view in _needed(modules) for part, name in _JOINED.items()}
    if path not in asked:
        return None
    view, part = asked[path]
    own, texts = _needed(modules)[view], {path: held.contents.decode() for path, held in modules}
    chosen = [path for path in texts if (path in own) == (part == "own")]
    # The page begins once all that its view needs is there.
    names = module_names(sorted(chosen, key=ENTRY.__eq__))
    text = (_CALLED if part == "own" else "") + joined({name: texts[path] for name, path in names.items()})
    return PageFile(text.encode(), _TYPES[".js"], _version_of(modules))


def _held(file: Path) -> PageFile:
    state = file.stat()
    return _read(file, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=200)
def _read(file: Path, changed: int, size: int) -> PageFile:
    contents = file.read_bytes()
    return PageFile(contents, _TYPES[file.suffix], _digest(contents))


def _digest(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()[:12]
