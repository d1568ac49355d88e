"""The explorer's page as one file that opens from disk: its style, its modules, the library of charts, and answers."""

import base64
import gzip
import html
import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from fedlayers.charts import web_files

_CHARTS = "vendor/echarts.min.js"


def saved_page(title: str, answers: Mapping[str, Any], parts: str) -> str:
    """Return the page.

    Args:
        title: of the page.
        answers: key of a question -> what the page gets, see :func:`fedlayers.charts.questions.key_of`.
        parts: what is said in words, as HTML.
    """
    texts = _texts()
    said = json.dumps(answers, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    plain = html.escape(title)
    # What runs are called comes last, so that nothing in it is taken for a place in the page.
    held = {"library": _library(), "modules": _packed(texts["modules"]), "packed": _packed(said)}
    scripts = [
        f'<section id="findings" hidden>{parts}</section>' if parts else "",
        '<script type="application/json" id="frozen-answers"></script>',
        *(f'<script type="text/plain" id="frozen-{name}">{text}</script>' for name, text in held.items()),
        f"<script>{texts['open']}</script>",
    ]
    page = web_files.page(f"<style>{texts['style']}</style>", "\n".join(scripts))
    place = '<span id="place">'
    return page.replace("<title>fedlayers</title>", f"<title>{plain}</title>", 1).replace(place, place + plain, 1)


@lru_cache(maxsize=1)
def _library() -> str:
    return _packed(web_files.web_files()[_CHARTS].read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _texts() -> dict[str, str]:
    """Return the page's style, its modules by name as JSON, and the script that starts it."""
    own = web_files.web_files()
    modules = {name: own[path].read_text(encoding="utf-8") for name, path in web_files.module_names(own).items()}
    return {
        "style": "\n".join(own[path].read_text(encoding="utf-8") for path in web_files.STYLES),
        "modules": json.dumps(modules, separators=(",", ":")),
        "open": (files("fedlayers.report") / "open.js").read_text(encoding="utf-8"),
    }


def _packed(text: str) -> str:
    """Return a text as base64 of gzip, without the time, so that equal texts are equal."""
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode("ascii")
