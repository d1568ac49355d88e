"""The files of the explorer's page, which the service sends and a report embeds: ``web/``."""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

# Libraries that leave one global name each: echarts is there before a view is drawn, Arrow before a table is read.
TABLES, CHARTS = "vendor/Arrow.es2015.min.js", "vendor/echarts.min.js"
STYLES, ENTRY, PAGE = ("page.css", "chart.css", "heterogeneity.css"), "js/page.js", "page.html"
_SENT = (".html", ".css", ".js", ".txt", ".md")
# What a module needs before it runs, and in the list of views which module each one has.
_IMPORTED = re.compile(r'^(?:import|export)\b[^;]*?"fedlayers/([^"]+)";', re.MULTILINE)
_VIEW = re.compile(r'name: "(\w+)".*\bimport\("fedlayers/([^"]+)"\)')


@lru_cache(maxsize=1)
def web_folder() -> Path:
    """Return ``web/`` of the checkout, or the copy inside the installed package.

    Raises:
        FileNotFoundError: there is neither.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "web", package.parent / "web"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"no web/ folder beside or inside {package}: install fedlayers again")


@lru_cache(maxsize=1)
def web_files() -> Mapping[str, Path]:
    """Return the files of the page by their path in ``web/``, such as ``js/data.js``; looked for once."""
    folder = web_folder()
    found = sorted(path for path in folder.rglob("*") if path.suffix in _SENT and path.is_file())
    return MappingProxyType({path.relative_to(folder).as_posix(): path for path in found})


def module_names(paths: Iterable[str]) -> dict[str, str]:
    """Return the bare name by which modules import one another -> path: ``fedlayers/data.js`` is ``js/data.js``."""
    return {f"fedlayers/{path.removeprefix('js/')}": path for path in paths if path.startswith("js/")}


def in_script(json_text: str) -> str:
    """Return JSON as it may stand in an element ``script``, which none of its texts can end."""
    return json_text.replace("<", "\\u003c")


def modules_of_views(texts: Mapping[str, str]) -> dict[str, list[str]]:
    """Return name of a view -> paths of all modules that it needs, those of the page itself among them.

    Args:
        texts: path of a module, such as ``js/data.js`` -> what it says.
    """
    views = _VIEW.findall(texts[ENTRY])
    return {view: sorted({*_needed(ENTRY, texts), *_needed(f"js/{module}", texts)}) for view, module in views}


def _needed(entry: str, texts: Mapping[str, str]) -> set[str]:
    found, left = set[str](), [entry]
    while left:
        path = left.pop()
        if path not in found:
            found.add(path)
            left += [f"js/{name}" for name in _IMPORTED.findall(texts[path])]
    return found


def page(head: str, scripts: str) -> str:
    """Return the page with what stands in its head and at its end.

    Args:
        head: the styles, and what begins before all else.
        scripts: what it runs.
    """
    text = (web_folder() / PAGE).read_text(encoding="utf-8")
    return text.replace("<!-- head -->", head).replace("<!-- scripts -->", scripts)


def digest_of(text: str | bytes) -> str:
    """Return the SHA-256 of a text as a content security policy names it, ``sha256-…``."""
    data = text.encode() if isinstance(text, str) else text
    return "sha256-" + base64.b64encode(hashlib.sha256(data).digest()).decode()
