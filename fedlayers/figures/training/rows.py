"""The rows of some quantities in a run's tables; none where nobody has measured them."""

import pandas as pd


def rows_of(table: pd.DataFrame, *metrics: str) -> pd.DataFrame:
    """Return a table's rows of these quantities; where two models of a client have them, those of the global one."""
    found: pd.DataFrame = table.loc[table["metric"].isin(metrics)]
    models = found["model"].astype(str)
    return found[models == "global"] if set(models[found["client"].notna()]) == {"global", "personal"} else found
