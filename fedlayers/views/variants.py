"""Variants of a value, such as estimators and thresholds: which belong in one panel."""

import pandas as pd


def differ(rows: pd.DataFrame) -> bool:
    """Say whether some layer has values of several variants in one run.

    Where every layer has one, such as an exact value or an estimate for those that are too large, they belong
    on the same line.
    """
    of_layers = rows.groupby(["run", "layer_index"], dropna=False, observed=True)["variant"]
    return bool(of_layers.nunique(dropna=False).max() > 1)


def names_of(rows: pd.DataFrame) -> str:
    """Return the variants of the rows in one phrase, empty if there is only one."""
    names = sorted(str(name) for name in rows["variant"].dropna().unique())
    return " / ".join(names) if len(names) > 1 else ""


def by_variant(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return a name and the rows of each variant, or all rows at once if no layer has several."""
    if not differ(rows):
        return [(names_of(rows), rows)]
    found = rows.groupby(rows["variant"].astype(object).fillna(""), sort=True)
    return [(str(name), of_variant) for name, of_variant in found]


def one_value_each(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows so that a client has one value a layer and round: of the first variant, scope and model."""
    for column in ("variant", "scope", "model"):
        if rows.duplicated(["round", "client", "layer_index"]).any():
            keys = rows[column].astype(object).fillna("")
            rows = rows[keys == keys.min()]
    return rows
