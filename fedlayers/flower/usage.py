"""How times, memory and bytes travel: as lines of JSON, of which the server makes one table for all of a phase."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

import pyarrow as pa

from fedlayers.core.records import SCHEMAS, Resource, table_of_columns
from fedlayers.core.tables.columns import filled

# What may be known of rows beside their values.
_ABOUT = tuple(name for name in SCHEMAS["resources"].names if name != "value")
_about_of = attrgetter(*_ABOUT)


def packed_usage(groups: Iterable[tuple[Iterable[Resource], Mapping[str, Any]]]) -> bytes:
    """Return rows as they travel: they are few and short, and an Arrow table of them takes five times as long.

    Of each group a line says what is filled in where a row leaves it at None, the next one what its rows are about,
    which is the same for most messages and made once for all of these, and the third has the values. What several calls
    return may be joined by ends of lines.

    Args:
        groups: rows, and columns that are filled in.

    Examples:
        >>> packed_usage([([Resource("message_s", 0.5, "s")], {"client": 3})]).decode().splitlines()
        ['{"client": 3}', '{"metric": ["message_s"], "unit": ["s"]}', '[0.5]']
    """
    return "\n".join(line for rows, address in groups for line in _lines(list(rows), address)).encode()


def usage_table(packed: Sequence[bytes]) -> pa.Table:
    """Return the table ``resources`` of what several messages packed.

    Examples:
        >>> table = usage_table([packed_usage([([Resource("message_s", 0.5, "s")], {"client": 3})])])
        >>> table.select(["client", "metric", "value"]).to_pylist()
        [{'client': 3, 'metric': 'message_s', 'value': 0.5}]
    """
    # Column by column: a row of each would have been an object for no longer than this.
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMAS["resources"].names}
    for data in packed:
        lines = iter(data.decode().split("\n"))
        for address, about, values in zip(lines, lines, lines, strict=True):
            given, own = json.loads(address), _columns(about) | {"value": json.loads(values)}
            for name, column in columns.items():
                column.extend(filled(own.get(name, [None] * len(own["value"])), given.get(name)))
    return table_of_columns("resources", map(tuple, columns.values()))


def _lines(rows: Sequence[Resource], address: Mapping[str, Any]) -> tuple[str, str, str]:
    return (
        json.dumps(address),
        _as_text(tuple(map(_about_of, rows))),
        json.dumps([float(row.value) for row in rows]),
    )


@lru_cache(maxsize=256)
def _as_text(about: tuple[tuple[Any, ...], ...]) -> str:
    """Return the columns of some rows as JSON, without empty ones."""
    columns = dict(zip(_ABOUT, zip(*about, strict=True), strict=True)) if about else {}
    told = {name: column for name, column in columns.items() if column.count(None) < len(column)}
    # What a metric of one's own gives may be numpy's numbers.
    return json.dumps(told, default=int)


@lru_cache(maxsize=256)
def _columns(about: str) -> dict[str, Sequence[Any]]:
    """Return the columns that a line of JSON says; nobody changes them."""
    found: dict[str, Sequence[Any]] = json.loads(about)
    return found
