"""Which rounds a figure shows: the first and the last one that was measured."""

from collections.abc import Sequence

import pandas as pd

from fedlayers.views.moments import ROUND_MOMENTS
from fedlayers.views.numbered import numbered


def in_round(rows: pd.DataFrame, number: int | None) -> pd.DataFrame:
    """Return the rows of one round, or all rows if the number is None."""
    return rows if number is None else rows[rows["round"] == number]


def rounds_of_layers(tables: Sequence[pd.DataFrame]) -> list[int]:
    """Return the rounds in which some of the tables have rows of layers, ascending."""
    return sorted({int(number) for rows in tables for number in rows.loc[rows["layer"].notna(), "round"].unique()})


def first_and_last(rows: pd.DataFrame) -> list[tuple[str, "pd.Series[bool]"]]:
    """Return a title and the rows of the first and the last round measured; start and final go with them."""
    in_rounds = rows["moment"].isin(ROUND_MOMENTS)
    rounds = sorted(rows.loc[in_rounds, "round"].unique())
    start, final = rows["moment"] == "start", rows["moment"] == "final"
    if len(rounds) < 2:
        return [(f"round {rounds[0]}" if rounds else "", start | final | in_rounds)]
    first, last = (in_rounds & (rows["round"] == number) for number in (rounds[0], rounds[-1]))
    return [(f"round {rounds[0]}", start | first), (f"round {rounds[-1]}", last | final)]


def in_columns(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the number and the name of their column: the first and the last round, side by side.

    Returns:
        All rows, with ``column`` and ``column_name``; −1 and empty for the rounds between. One column if only one round
        was measured.
    """
    return numbered(rows, [(title, rows[chosen]) for title, chosen in first_and_last(rows)], "column")
