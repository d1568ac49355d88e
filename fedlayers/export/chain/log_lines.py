"""What a run has measured as lines of ``log.jsonl``: one for training and one for validation of each round."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from fedlayers.core.errors import UserError
from fedlayers.export.assessment_files import without_nan
from fedlayers.export.chain.parameters import steps_a_round
from fedlayers.opening.assessment import assess_training
from fedlayers.opening.run import Run

# Our quantity -> theirs; the variant that is theirs where there are several.
QUANTITIES = {
    "anchor_accuracy": "accuracy",
    "anchor_cross_entropy_plain": "cross_entropy",
    "probe_accuracy": "probe_accuracy",
    "probe_f1": "f1_score",
    "anchor_alignment": "alignment",
    "anchor_margin": "margin",
    "ace_ce_i_next": "ace_regularizer",
    "ace_ce_next_i": "ace_ce_next_i",
    "ace_js": "ace_js",
    "ace_sym_kl": "ace_sym_kl",
    "mutual_information_binned": "mutual_information",
    "gaussian_entropy": "gaussian_entropy",
    "cka_previous": "linear_cka",
    "participation_ratio": "participation_ratio",
    "ridge_r2_next": "ridge_r2",
}
_VARIANTS = ("halves", "debiased", "diagonal")


def log_lines(run: Run) -> tuple[list[str], list[str]]:
    """Return the lines as JSON, and what they do not say, a sentence each.

    A line for training has the loss that clients had while they trained, and accuracy and layers of their models just
    after; one for validation has accuracy and layers of the averaged model. The format demands an accuracy: a round in
    which it is not known has no line. On training examples ``metrics.evaluation.splits=[train,val,test]`` measures it,
    and it is found out again for the models that the run has kept.
    """
    records = run.tables.records
    records = records[(records["status"] == "ok") & records["step"].isna()]
    accuracies = records[(records["metric"] == "accuracy") & records["layer"].isna()]
    training = {**_again(run), **_means(accuracies, "client_train", "after_local")}
    validation = _means(accuracies, "client_val", "after_aggregate")
    losses = _means(records[records["metric"] == "training_loss"], "client_train", "after_local")
    steps, times = steps_a_round(run), _times(run)
    lines: list[dict[str, Any]] = []
    for number in range(1, int(run.facts["round"]) + 1):
        known = {"epoch": number}
        told = {"timestamp": times[number].isoformat(timespec="microseconds")}
        if number in training and number in losses:
            own = {"iter": steps, "step": number * steps, "loss": losses[number], "acc": training[number]}
            lines.append({"phase": "train", **known, **own, **told, **_layers(records, number, "after_local")})
        if number in validation:
            own = {"iter": 0, "acc": validation[number]}
            lines.append({"phase": "val", **known, **own, **told, **_layers(records, number, "after_aggregate")})
    return [json.dumps(without_nan(line), allow_nan=False) for line in lines], [*_missing(run, training, validation)]


def _missing(run: Run, training: Mapping[int, float], validation: Mapping[int, float]) -> Iterator[str]:
    """Yield which rounds lack a line, and what a run does to have them."""
    ways = {
        "training": (training, "metrics.evaluation.splits=[train,val,test]"),
        "validation": (validation, "metrics.evaluation.splits=[val,test] and split.val above 0"),
    }
    for name, (known, way) in ways.items():
        if lacking := run.facts["round"] - len(known):
            rounds = f"{lacking} of {run.facts['round']} rounds"
            yield f"log.jsonl has no {name} line for {rounds}: {way} measures the accuracy"


def _means(rows: pd.DataFrame, scope: str, moment: str) -> dict[int, float]:
    """Return round -> the mean over clients, weighted by examples; of the global model where there is one."""
    chosen = rows[(rows["scope"] == scope) & (rows["moment"] == moment) & (rows["n"] > 0)]
    if moment == "after_aggregate" and (chosen["model"] == "global").any():
        chosen = chosen[chosen["model"] == "global"]
    return {
        int(str(number)): float(np.average(own["value"].astype(float), weights=own["n"].astype(float)))
        for number, own in chosen.groupby("round")
    }


def _again(run: Run) -> dict[int, float]:
    """Return round -> accuracy on all training examples, of the global models that were kept."""
    found = {}
    for number in run.models.query("owner == 'server'")["round"]:
        try:
            found[int(number)] = assess_training(run, int(number)).accuracy
        except UserError:  # it is not whole, or has diverged
            continue
    return found


def _layers(records: pd.DataFrame, number: int, moment: str) -> dict[str, Any]:
    """Return ``metrics`` of a round: layer -> their name -> value; the global model's, or the mean over clients."""
    rows = records[(records["round"] == number) & (records["moment"] == moment) & records["layer"].notna()]
    rows = rows[rows["metric"].isin(list(QUANTITIES)) & (rows["scope"] == "probe")]
    if (rows["owner"] == "server").any():
        rows = rows[rows["owner"] == "server"]
    if rows.empty:
        return {}
    places = {index: place for place, index in enumerate(sorted(rows["layer_index"].unique()))}
    found: dict[str, dict[str, float]] = {f"layer_{place}": {} for place in places.values()}
    for (index, metric), own in rows.groupby(["layer_index", "metric"], observed=True):
        found[f"layer_{places[index]}"][QUANTITIES[str(metric)]] = float(_theirs(own)["value"].astype(float).mean())
    return {"metrics": found}


def _theirs(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of one variant: the one that is closest to theirs, else the first by name."""
    variants = sorted({str(variant) for variant in rows["variant"].dropna()})
    chosen = next((variant for variant in _VARIANTS if variant in variants), next(iter(variants), None))
    return rows if chosen is None else rows[rows["variant"] == chosen]


def _times(run: Run) -> dict[int, datetime]:
    """Return round -> when it ended: each stretch of rounds began at a known time, and each round took so long."""
    rows = run.resources()
    took = rows[rows["metric"] == "round_s"].groupby("round")["value"].sum()
    times, number = {}, 0
    for stretch in run.facts["stretches"]:
        now = datetime.fromtimestamp(stretch["began"])
        for number in range(max(1, stretch["from_round"]), run.facts["round"] + 1):
            now += timedelta(seconds=float(took.get(number, 0.0)))
            times[number] = now
    return times
