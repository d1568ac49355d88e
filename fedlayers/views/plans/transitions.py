"""Where a run looked for a transition between layers, what it found, and which layers are shared because of it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from fedlayers.views.moments import at_moments
from fedlayers.views.values import usable

# What is needed of a run's records.
METRICS = (
    "transition", "transition_low", "transition_high", "transition_confidence", "transition_agreement", "layer_rise",
    "layer_rise_low", "layer_rise_high", "plan_prefix",
)  # fmt: skip


@dataclass(frozen=True)
class MeasuredTransition:
    """What one measure says of all clients together.

    Attributes:
        measure: its name.
        last: the last layer before the transition; None if none was found.
        shared, low, high: how many layers come before it, and its interval; NaN if none was found.
        sentence: the same in words, with what clients agree on.
    """

    measure: str
    last: str | None
    shared: float
    low: float
    high: float
    sentence: str


def round_of_choice(records: pd.DataFrame) -> int | None:
    """Return the last round after which a plan was chosen, else the last measured one, None if there is none."""
    for metric in ("plan_prefix", "transition"):
        rounds = records.loc[records["metric"] == metric, "round"].dropna()
        if not rounds.empty:
            return int(rounds.max())
    return None


def rises(records: pd.DataFrame) -> pd.DataFrame:
    """Return how far each layer has risen in the round that is shown, of every client and of all together.

    Args:
        records: of one run.

    Returns:
        A row per measure, client and layer, in this order, with columns ``measure, client`` (absent for all together),
        ``layer, layer_index, value, low, high`` (the interval, absent where it is not known).
    """
    rows = _in_round(records)
    keys = ["variant", "client", "layer", "layer_index"]
    found = [
        usable(rows[rows["metric"] == metric])[[*keys, "value"]].rename(columns={"value": name})
        for metric, name in (("layer_rise", "value"), ("layer_rise_low", "low"), ("layer_rise_high", "high"))
    ]
    plain = [part.astype({"variant": object, "layer": object}) for part in found]
    joined = plain[0].merge(plain[1], "left", keys).merge(plain[2], "left", keys)
    ordered = joined.rename(columns={"variant": "measure"}).sort_values(["measure", "client", "layer_index"])
    return ordered.reset_index(drop=True)


def transitions(records: pd.DataFrame) -> list[MeasuredTransition]:
    """Return what each measure says of all clients together in the round that is shown, measure by measure."""
    rows = _in_round(records)
    common = rows[rows["client"].isna()]
    measures = sorted({str(name) for name in common.loc[common["metric"] == "transition", "variant"].dropna()})
    return [_transition(measure, common[common["variant"] == measure]) for measure in measures]


def plan_sentences(records: pd.DataFrame) -> list[str]:
    """Return which layers are shared after the last choice, and why, a sentence for all clients or each group."""
    rows = usable(records[records["metric"] == "plan_prefix"])
    rows = rows[rows["round"] == rows["round"].max()]
    found: dict[str, list[int]] = {}
    for row in rows.itertuples():
        layers = f"{row.value:g} layer{'' if row.value == 1 else 's'}, up to {row.layer}"
        said = f"{layers} from round {row.round + 1} on: {row.reason}"
        found.setdefault(said, []).extend([] if pd.isna(row.client) else [int(row.client)])
    return [f"{_who(clients)} {said}" for said, clients in found.items()]


def _in_round(records: pd.DataFrame) -> pd.DataFrame:
    rows = at_moments(records)
    found: pd.DataFrame = rows[(rows["round"] == round_of_choice(records)) & (rows["moment"] == "after_local")]
    return found


def _transition(measure: str, rows: pd.DataFrame) -> MeasuredTransition:
    values = rows.set_index("metric")["value"].astype(float)
    row = rows[rows["metric"] == "transition"].iloc[0]
    agreeing = rows[rows["metric"] == "transition_agreement"]
    agreed = ""
    if not agreeing.empty:
        count = int(agreeing["n"].iloc[0])
        agreed = f"; {round(float(agreeing['value'].iloc[0]) * count)} of {count} clients say the same by themselves"
    if row["status"] != "ok":
        sentence = f"{measure}: no transition, {row['reason']}{agreed}"
        return MeasuredTransition(measure, None, math.nan, math.nan, math.nan, sentence)
    shared, low, high = (float(values[name]) for name in ("transition", "transition_low", "transition_high"))
    sure = f"{shared:g} layers before it (interval {low:g} to {high:g}"
    often = f"the same in {values['transition_confidence']:.0%} of resamples)"
    sentence = f"{measure}: transition after {row['layer']}, {sure}, {often}{agreed}"
    return MeasuredTransition(measure, str(row["layer"]), shared, low, high, sentence)


def _who(clients: Iterable[int]) -> str:
    names = [str(client) for client in sorted(clients)]
    if not names:
        return "all clients share"
    return f"client {names[0]} shares" if len(names) == 1 else f"clients {', '.join(names[:-1])} and {names[-1]} share"
