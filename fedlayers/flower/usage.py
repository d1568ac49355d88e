"""How what the work on a message took travels: as JSON, of which the server makes one table for all of a phase."""

import json
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import pyarrow as pa

from fedlayers.core.records import SCHEMAS, Resource, table_of_columns

# What the rows of a message differ in; the other columns are those of its address.
_OWN = ("metric", "value", "unit", "layer", "layer_index", "subject")
_values_of = attrgetter(*_OWN)


def packed_usage(rows: Iterable[Resource], **address: Any) -> bytes:
    """Return rows as they travel: they are few and short, and an Arrow table of them takes three times as long.

    Args:
        rows: without step, client and moment of their own.
        address: whose they are and when they were measured, for all of them.

    Examples:
        >>> packed_usage([Resource("message_s", 0.5, "s")], client=3)
        b'[{"client": 3}, [["message_s", 0.5, "s", null, null, null]]]'
    """
    return json.dumps([address, [_values_of(row) for row in rows]]).encode()


def usage_table(packed: Sequence[bytes]) -> pa.Table:
    """Return the table ``resources`` of what several messages packed.

    Examples:
        >>> table = usage_table([packed_usage([Resource("message_s", 0.5, "s")], client=3)])
        >>> table.select(["client", "metric", "value"]).to_pylist()
        [{'client': 3, 'metric': 'message_s', 'value': 0.5}]
    """
    # Column by column: a row of each would have been an object for no longer than this.
    columns: dict[str, tuple[Any, ...]] = dict.fromkeys(SCHEMAS["resources"].names, ())
    for data in packed:
        address, rows = json.loads(data)
        own = dict(zip(_OWN, zip(*rows, strict=True), strict=True)) if rows else {}
        for name, column in columns.items():
            columns[name] = column + own.get(name, (address.get(name),) * len(rows))
    return table_of_columns("resources", columns.values())
