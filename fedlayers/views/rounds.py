"""Which rounds a figure shows: the first and the last one that was measured."""

import pandas as pd

from fedlayers.views.moments import ROUND_MOMENTS


def in_round(rows: pd.DataFrame, number: int | None) -> pd.DataFrame:
    """Return the rows of one round, or all rows if the number is None."""
    return rows if number is None else rows[rows["round"] == number]


def first_and_last(rows: pd.DataFrame) -> list[tuple[str, "pd.Series[bool]"]]:
    """Return a title and the rows of the first and the last round measured; start and final go with them."""
    in_rounds = rows["moment"].isin(ROUND_MOMENTS)
    rounds = sorted(rows.loc[in_rounds, "round"].unique())
    start, final = rows["moment"] == "start", rows["moment"] == "final"
    if len(rounds) < 2:
        return [(f"round {rounds[0]}" if rounds else "", start | final | in_rounds)]
    first, last = (in_rounds & (rows["round"] == number) for number in (rounds[0], rounds[-1]))
    return [(f"round {rounds[0]}", start | first), (f"round {rounds[-1]}", last | final)]
