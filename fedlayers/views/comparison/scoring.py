"""What each run reached: the scores of every client's model, at the moment and in the round that are compared."""

import math
from dataclasses import dataclass

import pandas as pd

from fedlayers.core.checks import one_of
from fedlayers.core.errors import UserError
from fedlayers.core.records import BEST, UNSEEN
from fedlayers.views.curves import own_models
from fedlayers.views.moments import MOMENT_NAMES, at_moments
from fedlayers.views.values import usable, with_value

# The first that was measured is shown: the second of examples of which several labels may hold, which have no accuracy.
SCORES = (
    *("accuracy", "subset_accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "mcc"),
    *("micro_f1", "average_precision", "hamming_loss", "loss"),
)
MOMENTS = ("after_aggregate", "after_local")
ROUNDS = ("last", "best")
# Whose scores: of clients that train, or of those that never do.
CLIENTS = {"trained": "clients'", "unseen": "unseen clients'"}
# Evaluations that stand side by side: moment and whose.
EVALUATIONS = {
    "after_aggregate": ("after_aggregate", "trained"),
    "after_local": ("after_local", "trained"),
    "unseen": ("after_aggregate", "unseen"),
}
_SCOPES = {"trained": ("client_test", "client_val"), "unseen": (UNSEEN["client_test"], UNSEEN["client_val"])}
COMPARED_SCOPES = tuple(scope for own in _SCOPES.values() for scope in own)
# What chooses: the loss on the clients' validation examples.
CHOOSING = ("loss", "client_val")
COLUMNS = (
    "run",
    "round",
    "moment",
    "model",
    "client",
    "metric",
    "scope",
    "value",
    "status",
    "layer",
    "subject",
    "step",
)


@dataclass(frozen=True)
class Reported:
    """Which evaluation is compared.

    Attributes:
        moment: ``after_aggregate`` (at the last round the final evaluation, of all clients) or ``after_local``.
        round: ``last``, or ``best``: of each run the one with the lowest loss on its clients' validation examples.
        clients: ``trained``, or ``unseen``, those that never train (``split.unseen_clients``).

    Raises:
        UserError: for another moment, round or group of clients, and for unseen ones after local training.
    """

    moment: str = "after_aggregate"
    round: str = "last"
    clients: str = "trained"

    def __post_init__(self) -> None:
        one_of("moment", self.moment, MOMENTS)
        one_of("round", self.round, ROUNDS)
        one_of("clients", self.clients, tuple(CLIENTS))
        if (self.clients, self.moment) == ("unseen", "after_local"):
            raise UserError("clients=unseen goes with moment=after_aggregate, got after_local: they never train")

    @property
    def scopes(self) -> tuple[str, str]:
        """The scopes of test and of validation examples."""
        return _SCOPES[self.clients]

    @property
    def evaluation(self) -> str:
        """Which one of ``EVALUATIONS`` it is."""
        return next(name for name, own in EVALUATIONS.items() if own == (self.moment, self.clients))

    def __str__(self) -> str:
        """Return in words what is reported."""
        when = "last round" if self.round == "last" else "best round by validation loss"
        return f"{when}, {MOMENT_NAMES[self.moment]}"


def scores(records: pd.DataFrame, metrics: tuple[str, ...], reported: Reported) -> pd.DataFrame:
    """Return the scores that are compared, and the validation losses by which something is chosen.

    A client that has a model of its own beside the global one is judged by its own.

    Args:
        records: of several runs, with ``COLUMNS``.
        metrics: which.
        reported: of which evaluation.

    Returns:
        Columns ``run, client, metric, scope, value``, and ``round``; finite values only, but for validation losses,
        which are infinite where there is none: what has diverged is not chosen.
    """
    whole = records[["layer", "subject", "step"]].isna().all(axis=1) & records["client"].notna()
    asked = whole & records["metric"].isin({*metrics, CHOOSING[0]})
    rows = _with_value(at_moments(records[asked & records["scope"].isin(_SCOPES["trained"])]))
    chosen = _of_best(rows, reported) if reported.round == "best" else _of_last(rows, reported)
    if reported.clients != "trained":
        others = usable(at_moments(records[asked & records["scope"].isin(reported.scopes)]))
        chosen = pd.concat([chosen[_is_choosing(chosen)], own_models(_there(others, chosen))])
    found: pd.DataFrame = chosen[["run", "client", "metric", "scope", "round", "value"]].astype(
        {"run": str, "metric": str, "scope": str, "client": int, "value": float}
    )
    return found.reset_index(drop=True)


def _is_choosing(rows: pd.DataFrame) -> "pd.Series[bool]":
    return (rows["metric"] == CHOOSING[0]) & (rows["scope"] == CHOOSING[1])


def _there(rows: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the rounds and moments of each run that are chosen."""
    keys = ["run", "round", "moment"]
    # Those that never train are evaluated in every round.
    there = (
        chosen[keys].astype({"run": str, "round": int, "moment": str}).replace({"moment": {BEST: "after_aggregate"}})
    )
    places = set(there.itertuples(index=False, name=None))
    own = rows[keys].astype({"run": str, "round": int, "moment": str}).itertuples(index=False, name=None)
    return rows[pd.Series([place in places for place in own], rows.index, dtype=bool)]


def _with_value(rows: pd.DataFrame) -> pd.DataFrame:
    is_choosing = _is_choosing(rows)
    lost = is_choosing & ~with_value(rows)
    found = rows[is_choosing | with_value(rows)]
    return found.assign(value=found["value"].where(~lost, math.inf))


def _at(rows: pd.DataFrame, moment: str) -> pd.DataFrame:
    found: pd.DataFrame = rows[rows["moment"] == moment]
    return found


def _of_last(rows: pd.DataFrame, reported: Reported) -> pd.DataFrame:
    """Return the rows of the end of each run: of the final evaluation, which asks all clients, where there is one."""
    then = _at(rows, reported.moment)
    ends = then[then["round"] == then.groupby("run", observed=True)["round"].transform("max")]
    final = _at(rows, "final")
    if reported.moment == "after_aggregate" and not final.empty:
        ends = pd.concat([final, ends[~ends["run"].isin(final["run"].unique())]])
    return own_models(ends)


def _of_best(records: pd.DataFrame, reported: Reported) -> pd.DataFrame:
    """Return the rows of the round with the lowest mean validation loss of each run, the first one of several.

    Where rounds ask some of the clients, the model of the best one on all of them, if the run has evaluated it.
    """
    rows = own_models(_at(records, reported.moment))
    on_all = own_models(_at(records, BEST))
    if reported.moment == "after_aggregate" and not on_all.empty:
        return pd.concat([on_all, _lowest(rows[~rows["run"].isin(on_all["run"].unique())])])
    return _lowest(rows)


def _lowest(rows: pd.DataFrame) -> pd.DataFrame:
    choosing = rows[_is_choosing(rows)]
    means = choosing.groupby([choosing["run"].astype(str), choosing["round"].astype(int)])["value"].mean()
    best = {str(run): int(place[1]) for run, place in means.groupby(level=0).idxmin().items()}
    of_runs = rows["run"].astype(str).map(best)
    found: pd.DataFrame = rows[rows["round"].astype(int) == of_runs]
    return found
