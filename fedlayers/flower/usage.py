"""How what the work on a message took travels: as JSON, of which the server makes one table for all of a phase."""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

import pyarrow as pa

from fedlayers.core.records import SCHEMAS, Resource, table_of_columns

# What the rows of a message differ in, beside the value; the other columns are those of its address.
_ABOUT = ("metric", "unit", "layer", "layer_index", "subject")
_about_of = attrgetter(*_ABOUT)


def packed_usage(rows: Iterable[Resource], **address: Any) -> bytes:
    """Return rows as they travel: they are few and short, and an Arrow table of them takes three times as long.

    A line of JSON says what they are about, which is the same for most messages and made once for all of these.

    Args:
        rows: without step, client and moment of their own.
        address: whose they are and when they were measured, for all of them.

    Examples:
        >>> packed_usage([Resource("message_s", 0.5, "s")], client=3).decode().splitlines()
        ['{"client": 3}', '[["message_s", "s", null, null, null]]', '[0.5]']
    """
    own = list(rows)
    about = _as_text(tuple(map(_about_of, own)))
    return f"{json.dumps(address)}\n{about}\n{json.dumps([row.value for row in own])}".encode()


def usage_table(packed: Sequence[bytes]) -> pa.Table:
    """Return the table ``resources`` of what several messages packed.

    Examples:
        >>> table = usage_table([packed_usage([Resource("message_s", 0.5, "s")], client=3)])
        >>> table.select(["client", "metric", "value"]).to_pylist()
        [{'client': 3, 'metric': 'message_s', 'value': 0.5}]
    """
    # Column by column: a row of each would have been an object for no longer than this.
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMAS["resources"].names}
    for data in packed:
        address, about, values = data.decode().split("\n")
        own, found = _columns(about) | {"value": json.loads(values)}, json.loads(address)
        for name, column in columns.items():
            column.extend(own.get(name) or [found.get(name)] * len(own["value"]))
    return table_of_columns("resources", map(tuple, columns.values()))


@lru_cache(maxsize=256)
def _as_text(about: tuple[tuple[Any, ...], ...]) -> str:
    return json.dumps(about)


@lru_cache(maxsize=256)
def _columns(about: str) -> dict[str, Sequence[Any]]:
    """Return the columns that a line of JSON says; nobody changes them."""
    rows = json.loads(about)
    return dict(zip(_ABOUT, zip(*rows, strict=True), strict=True)) if rows else {}
