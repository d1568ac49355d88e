"""Which rows have a value that can be shown."""

import numpy as np
import pandas as pd


def usable(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose value is there and finite."""
    found: pd.DataFrame = rows[(rows["status"] == "ok") & np.isfinite(rows["value"])]
    return found
