"""The values that answer the questions about a chain of layers: the last ones of every run, by depth."""

import pandas as pd

from fedlayers.core.records import MOMENTS
from fedlayers.views.chain.groups import ChainStudy
from fedlayers.views.chain.questions import QUESTION_OF
from fedlayers.views.moments import at_moments
from fedlayers.views.run_groups import in_groups
from fedlayers.views.values import usable

_KEPT = [
    "run", "client", "layer", "layer_index", "metric", "variant", "value", "stderr", "chance", "chance_hi", "status",
    "question", "who", "seed",
]  # fmt: skip
# Of several estimators of a quantity one of these answers: what is fitted on one half and scored on the other.
_VARIANTS = ("", "halves", "debiased", "diagonal")
GLOBAL, CLIENTS = "global model", "clients' models"


def question_rows(records: pd.DataFrame) -> pd.DataFrame:
    """Return the usable rows of single layers, measured at moments on all examples, that answer a question."""
    rows = records[records["metric"].isin(list(QUESTION_OF)) & records["layer"].notna() & records["subject"].isna()]
    return usable(at_moments(rows))


def readings(study: ChainStudy) -> pd.DataFrame:
    """Return the last values of every run that answer a question.

    Returns:
        Of the rows of :func:`question_rows` that were measured last of their quantity, variant and owner in their run
        the columns ``run, client, layer, layer_index, metric, variant, value, stderr, chance, chance_hi, status``, and

        - ``question``: the name of the question;
        - ``who``: ``global model`` (the server's) or ``clients' models``;
        - ``place``: the depth of the layer among those that have values in its run, 0, 1, …;
        - ``seed``: of the run, 0 if it is not known;
        - ``group, group_name``: see :func:`fedlayers.views.run_groups.in_groups`.
    """
    rows = question_rows(study.records)
    plain = {name: rows[name].astype(object) for name in ("metric", "owner")}
    rows = rows.assign(
        question=plain["metric"].map({name: question.name for name, question in QUESTION_OF.items()}).astype(object),
        who=plain["owner"].map({"server": GLOBAL, "client": CLIENTS}).astype(object),
        variant=rows["variant"].astype(object).fillna(""),
        run=rows["run"].astype(str),
        metric=plain["metric"].astype(str),
        layer=rows["layer"].astype(str),
        seed=rows["seed"].fillna(0).astype(int) if "seed" in rows else 0,
    )
    rows = _last(rows)
    place = rows.groupby("run")["layer_index"].rank(method="dense") - 1
    return in_groups(rows[_KEPT].assign(place=place.astype(int)), study.plain_groups)


def _last(rows: pd.DataFrame) -> pd.DataFrame:
    order = rows["moment"].astype(object).map({name: place for place, name in enumerate(MOMENTS)})
    age = rows["round"].astype(int) * len(MOMENTS) + order.astype(int)
    newest = age.groupby([rows[name] for name in ("run", "metric", "variant", "who")]).transform("max")
    found: pd.DataFrame = rows[age == newest]
    return found


def layer_names(rows: pd.DataFrame) -> dict[int, str]:
    """Return place -> name of the layer, or ``layer 2`` where it is called otherwise in some of the runs."""
    named = rows[["place", "layer"]].drop_duplicates().sort_values("place")
    found: dict[int, list[str]] = {}
    for place, name in zip(named["place"], named["layer"], strict=True):
        found.setdefault(int(place), []).append(str(name))
    return {place: names[0] if len(names) == 1 else f"layer {place + 1}" for place, names in found.items()}


def preferred_variant(variant: str) -> tuple[bool, str]:
    """Return by what variants of a quantity are sorted: the one that answers comes first."""
    return variant not in _VARIANTS, variant
