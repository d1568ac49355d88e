"""Whether two groups of runs answer alike, and how the clients of a federation spread around their answer."""

from dataclasses import dataclass

import pandas as pd

from fedlayers.statistics.differences import difference
from fedlayers.views.chain.answers import KEYS, Answer, by_run
from fedlayers.views.chain.groups import ChainStudy
from fedlayers.views.chain.questions import QUESTIONS
from fedlayers.views.chain.readings import CLIENTS

CLIENT_COLUMNS = ("group", "run", "client", "question", "quantity", "variant", "layers", "change", "level")
# Seed -> a value of each of its runs.
OfSeeds = dict[int, list[float]]
_NEIGHBOURS = QUESTIONS[-1].name
CHANGE, LEVEL = "change from first to last layer", "mean over layers"


@dataclass(frozen=True)
class Contrast:
    """By how much one group answers otherwise than another.

    Attributes:
        group, other: the groups' names; differences are ``other`` less ``group``.
        question, quantity, variant, who: what is compared.
        main: whether it answers by default in ``group``.
        of: what differs, the change from the first to the last layer or, of neighbours, the mean over layers.
        difference, low, high: with its 95 % interval over seeds.
        runs, other_runs: how many; pairs if ``paired``.
        paired: whether runs of one seed were compared with each other.
    """

    group: str
    other: str
    question: str
    quantity: str
    variant: str
    who: str
    main: bool
    of: str
    difference: float
    low: float
    high: float
    runs: int
    other_runs: int
    paired: bool

    @property
    def is_shown(self) -> bool:
        """Say whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0


def comparisons(study: ChainStudy, rows: pd.DataFrame, found: list[Answer]) -> list[Contrast]:
    """Return by how much every two comparable groups differ in what both have measured.

    Args:
        study: whose groups.
        rows: of :func:`fedlayers.views.chain.readings.readings`.
        found: of :func:`fedlayers.views.chain.answers.answers`.
    """
    parts = dict(list(rows.groupby(["group_name", *KEYS])))
    of_seeds = {
        key: _of_seeds(part, LEVEL if part["question"].iloc[0] == _NEIGHBOURS else CHANGE)
        for key, part in parts.items()
    }
    compared = []
    for one, other in study.comparable():
        for answer in (answer for answer in found if answer.group == one.group.name):
            mine, others = (
                of_seeds.get((name, answer.quantity, answer.who, answer.variant))
                for name in (answer.group, other.group.name)
            )
            if mine and others:
                compared.append(_comparison(answer, other.group.name, mine, others))
    return compared


def _comparison(answer: Answer, other: str, mine: OfSeeds, others: OfSeeds) -> Contrast:
    found = difference(mine, others)
    return Contrast(
        answer.group, other, answer.question, answer.quantity, answer.variant, answer.who, answer.main,
        LEVEL if answer.question == _NEIGHBOURS else CHANGE,
        found.mean, found.low, found.high, *found.runs, found.paired,
    )  # fmt: skip


def _of_seeds(rows: pd.DataFrame, of: str) -> OfSeeds:
    """Return what differs, by seed; empty if too few layers have a value in every run."""
    values = by_run(rows)
    if values.shape[1] < (1 if of == LEVEL else 2):
        return {}
    told = values.mean(axis=1) if of == LEVEL else values.iloc[:, -1] - values.iloc[:, 0]
    seeds = rows.drop_duplicates("run").set_index("run")["seed"].reindex(told.index)
    found: dict[int, list[float]] = {}
    for seed, value in zip(seeds, told, strict=True):
        found.setdefault(int(seed), []).append(float(value))
    return found


def client_answers(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what the layers of every client's own model answer: a row per client, run and quantity.

    Args:
        rows: of :func:`fedlayers.views.chain.readings.readings`.

    Returns:
        Columns ``group, run, client, question, quantity, variant``; ``layers``, how many have a value; ``change``, the
        last one's value less the first one's, NaN of one layer; ``level``, the mean over them.
    """
    own = rows[(rows["who"] == CLIENTS) & rows["client"].notna() & (rows["group_name"] != "")].sort_values("place")
    keys = ["group_name", "run", "client", "question", "metric", "variant"]
    values = own.groupby(keys, sort=True, observed=True)["value"]
    table = values.agg(layers="size", first="first", last="last", level="mean").reset_index()
    change = (table["last"] - table["first"]).where(table["layers"] > 1)
    table = table.assign(change=change).rename(columns={"group_name": "group", "metric": "quantity"})
    return table[list(CLIENT_COLUMNS)]
