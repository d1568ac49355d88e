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
