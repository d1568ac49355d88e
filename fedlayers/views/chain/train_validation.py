"""What models score on what they were trained on, and on examples they have not seen."""

from collections.abc import Sequence

import pandas as pd

from fedlayers.views.chain.groups import ChainStudy
from fedlayers.views.moments import at_moments
from fedlayers.views.run_groups import in_groups
from fedlayers.views.values import usable

_MOMENTS = ("after_local", "after_aggregate")
# Of a quantity that is not measured on training examples, what training itself says of them.
_WHILE_TRAINING = {"training_loss": "loss"}
TRAINED, UNSEEN = "training examples", "validation examples"


def compared_metrics(records: pd.DataFrame) -> list[str]:
    """Return the quantities of whole models that have values of training and of validation examples, by name."""
    rows = _rows(records)
    scopes = rows.groupby("metric")["examples"].nunique()
    return sorted(str(metric) for metric in scopes[scopes > 1].index)


def train_validation(study: ChainStudy, metric: str) -> pd.DataFrame:
    """Return one quantity of clients' models on training and on validation examples, after local training.

    Validation examples are those of ``client_val``, or of ``client_test`` where there is no validation. A loss that was
    not measured on training examples is the mean over the batches that were trained on, before each step.

    Returns:
        Rows with ``run, round, client, value, examples, line`` (a number) and ``group, group_name``.
    """
    rows = _rows(study.records)
    rows = rows[rows["metric"] == metric]
    return in_groups(rows, study.plain_groups)


def _rows(records: pd.DataFrame) -> pd.DataFrame:
    whole = records["layer"].isna() & records["subject"].isna() & (records["owner"] == "client")
    rows = usable(at_moments(records[whole & records["scope"].isin(["client_train", "client_val", "client_test"])]))
    plain = rows.assign(**{name: rows[name].astype(object) for name in ("metric", "scope", "moment", "run")})
    plain["round"] = plain["round"].astype(int)
    measured = set(plain.loc[plain["scope"] == "client_train", "metric"])
    renamed = {name: now for name, now in _WHILE_TRAINING.items() if now not in measured}
    plain["metric"] = plain["metric"].replace(renamed)
    moments = _first(plain, plain["moment"], _MOMENTS)
    unseen = "client_val" if (moments["scope"] == "client_val").any() else "client_test"
    kept = moments[moments["scope"].isin(["client_train", unseen])]
    trained = kept["scope"] == "client_train"
    return kept.assign(examples=trained.map({True: TRAINED, False: UNSEEN}).astype(object), line=(~trained).astype(int))


def _first(rows: pd.DataFrame, column: "pd.Series[str]", order: Sequence[str]) -> pd.DataFrame:
    """Return the rows with the first of some values that there is."""
    first = next((value for value in order if (column == value).any()), "")
    found: pd.DataFrame = rows[column == first]
    return found
