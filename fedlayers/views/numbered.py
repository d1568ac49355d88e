"""Where each row of a view is drawn: the number and the name of its part."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

# The number of rows that are in no part.
NOWHERE = -1


def numbered(rows: pd.DataFrame, parts: Sequence[tuple[str, pd.DataFrame]], what: str) -> pd.DataFrame:
    """Return the rows with the number of their part as column ``what``, and its name as ``what_name``.

    Args:
        rows: with an index that names each row once.
        parts: name and rows of each part; no row is in two of them.
        what: what the parts are, such as ``panel``.

    Returns:
        All rows in their order; those in no part have the number −1 and an empty name.
    """
    number = pd.Series(NOWHERE, index=rows.index)
    name = pd.Series("", index=rows.index, dtype=object)
    for place, (title, part) in enumerate(parts):
        number.loc[part.index] = place
        name.loc[part.index] = title
    columns: dict[str, pd.Series[Any]] = {what: number, f"{what}_name": name}
    return rows.assign(**columns)


def parts_of(rows: pd.DataFrame, what: str) -> list[tuple[str, pd.DataFrame]]:
    """Return the name and the rows of each part, in the order of their numbers; see :func:`numbered`."""
    shown = rows[rows[what] != NOWHERE]
    return [(str(part[f"{what}_name"].iloc[0]), part) for _, part in shown.groupby(what, sort=True)]


def names_in(rows: pd.DataFrame, what: str) -> dict[int, str]:
    """Return number -> name of the parts that the rows are in, ascending; see :func:`numbered`."""
    return {int(part[what].iloc[0]): name for name, part in parts_of(rows, what)}
