"""What the page asks, as a saved report names the answers that it holds."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote


def path_of(*parts: str | int) -> str:
    """Return a path below ``api/``, as ``pathOf`` of the page's ``data.js`` does.

    >>> path_of("runs", "a b", "charts", "learning")
    'runs/a%20b/charts/learning'
    """
    # What a browser's encodeURIComponent leaves as it is.
    return "/".join(quote(str(part), safe="!'()*") for part in parts)


def key_of(path: str, params: Mapping[str, Any] | None = None, body: Any = None) -> str:
    """Return the name of a question: path and parameters, sorted by name, not encoded; ``keyOf`` of ``data.js``.

    Args:
        path: see :func:`path_of`.
        params: values, or lists of several; None is left out.
        body: what is posted, if anything is.

    >>> key_of("runs/a/charts/profile", {"round": 3, "metric": ["norm", "loss"], "client": None})
    'runs/a/charts/profile?metric=norm&metric=loss&round=3'
    """
    words = []
    for name, value in sorted((params or {}).items()):
        several = value if isinstance(value, list | tuple) else [value]
        words += [f"{name}={one}" for one in several if one is not None]
    posted = "" if body is None else " " + json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return f"{path}?{'&'.join(words)}{posted}"
