"""Tables on their way to a reader: as an Arrow stream, or as JSON for a look by eye."""

import io

import pyarrow as pa
from starlette.responses import JSONResponse, Response

from fedlayers.core.json_values import plain

ARROW = "application/vnd.apache.arrow.stream"


class ArrowResponse(Response):
    """An Arrow stream, which pyarrow, pandas, DuckDB and Arrow's JavaScript read."""

    media_type = ARROW


def as_arrow(table: pa.Table, total: int | None = None) -> Response:
    """Return a table as an Arrow stream.

    Args:
        table: what is sent.
        total: how many rows there would be without a limit, where that is known.
    """
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return ArrowResponse(sink.getvalue(), headers=_total(total))


def as_json(table: pa.Table, total: int | None = None) -> Response:
    """Return a table as JSON: a list per column; numbers that JSON has no word for (NaN, infinity) are null."""
    columns = {name: plain(table.column(name).to_pylist()) for name in table.column_names}
    return JSONResponse(columns, headers=_total(total))


def _total(total: int | None) -> dict[str, str]:
    return {} if total is None else {"X-Total-Rows": str(total)}
