"""How a chart's columns and facts are answered."""

from typing import Any

from starlette.responses import Response

from fedlayers.charts.charted import Charted
from fedlayers.explore.arrow import ARROW, ArrowResponse

# Of every route of a chart, for its description.
CHARTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The columns as an Arrow stream; what is said of them as JSON in its schema's metadata, facts.",
        "content": {ARROW: {"schema": {"type": "string", "format": "binary"}}},
    },
}


def charted(found: Charted) -> Response:
    """Return what a chart shows as an answer."""
    return ArrowResponse(found.stream())
