"""Which rows have a value that can be shown."""

import numpy as np
import pandas as pd


def usable(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose value is there and finite."""
    found: pd.DataFrame = rows[with_value(rows)]
    return found


def with_value(rows: pd.DataFrame) -> np.ndarray:
    """Return of each row whether its value is there and finite."""
    there: np.ndarray = (rows["status"] == "ok").to_numpy(bool) & np.isfinite(rows["value"].to_numpy(float))
    return there


def why_absent(rows: pd.DataFrame) -> np.ndarray:
    """Return of each row why it has no value that can be shown, None where it has one or nothing is said."""
    there = with_value(rows)
    told = rows["reason"].astype(object) if "reason" in rows else pd.Series(None, index=rows.index, dtype=object)
    given: np.ndarray = told.where(told.notna() & ~there, None).to_numpy(object, copy=True)
    odd = (rows["status"] == "ok").to_numpy(bool) & ~there
    given[odd] = [f"the value is {value}" for value in rows["value"].to_numpy(float, na_value=np.nan)[odd]]
    return given
