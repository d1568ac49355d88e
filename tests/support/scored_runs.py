"""Writes run folders with given scores of clients, for tests of what compares algorithms."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from fedlayers.core.records import Record, Row, addressed, to_table
from fedlayers.runs.quantities import save_quantities
from tests.support.quantities import KNOWN

Scores = Sequence[float]


def write_scored(
    study: Path,
    algorithm: str,
    seed: int,
    accuracy: Scores | Mapping[int, Scores],
    *,
    validation_loss: float | Sequence[float] = 1.0,
    status: str = "complete",
    facts: Mapping[str, Any] | None = None,
    unseen: Scores = (),
    metric: str = "accuracy",
    **config: Any,
) -> Path:
    """Write a run and return its folder.

    Args:
        study: the study folder.
        algorithm, seed: of the run.
        accuracy: on test examples, of every client: at the end, or by round, the last of which is the end.
        validation_loss: of every client, or of each round.
        status: of the run.
        facts: other entries of run.json.
        unseen: ``accuracy`` after aggregation of clients that never train, whose numbers follow the others'.
        metric: what ``accuracy`` is called.
        config: dotted keys, with ``__`` for the dot.
    """
    rounds = dict(accuracy) if isinstance(accuracy, Mapping) else {1: accuracy}
    losses = [validation_loss] * len(rounds) if isinstance(validation_loss, float) else list(validation_loss)
    entries = {key.replace("__", "."): value for key, value in config.items()}
    words = "".join(f"-{key}={value}" for key, value in sorted(entries.items())).replace("/", "")
    folder = study / f"x-{algorithm}-s{seed}{words}"
    (folder / "records").mkdir(parents=True)
    for (number, own), loss in zip(rounds.items(), losses, strict=True):
        moments = ("after_local", "after_aggregate", *(["final"] if number == max(rounds) else []))
        for moment in moments:
            part = "final" if moment == "final" else f"round={number:06d}"
            rows = [
                row
                for moment in (moments[:2] if part != "final" else ["final"])
                for row in (
                    *_rows(metric, own, loss, number, moment),
                    *_of_unseen(metric, unseen, len(own), number, moment),
                )
            ]
            pq.write_table(to_table("records", rows), folder / "records" / f"{part}.parquet")
    known = {"dataset": "Heart", "partition": "natural", "model": "mlp"} | dict(facts or {})
    number = max(rounds)
    told = {
        **known, "run": folder.name, "study": study.name, "algorithm": algorithm, "objective": "cross_entropy",
        "plan": "all", "seed": seed, "clients": len(rounds[number]), "rounds": number, "round": number,
        "status": status,
        "client_names": ["cleveland", "hungarian", "switzerland"], "reason": None,
        "files": {"quantities.json": save_quantities(folder, KNOWN.values())},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(told), encoding="utf-8")
    (folder / "config.yaml").write_text(
        json.dumps(_nested({"seed": seed, "rounds": number, **entries})), encoding="utf-8"
    )
    if status == "complete":
        (folder / "done.json").write_text("{}", encoding="utf-8")
    return folder


def _of_unseen(metric: str, accuracy: Scores, first: int, number: int, moment: str) -> list[Row]:
    rows: list[Row] = []
    for client, value in enumerate(accuracy if moment != "after_local" else (), first):
        own = [Record(metric, value, scope="unseen_test"), Record("loss", 1.0, scope="unseen_val")]
        rows += addressed(own, client=client, owner="client", model="global", round=number, moment=moment)
    return rows


def _rows(metric: str, accuracy: Scores, loss: float, number: int, moment: str) -> list[Row]:
    # Local training makes up for half of what is missing.
    values = [1 - (1 - value) / 2 if moment == "after_local" else value for value in accuracy]
    rows: list[Row] = []
    for client, value in enumerate(values):
        own = [Record(metric, value, scope="client_test"), Record("loss", 1 - value, scope="client_test")]
        own.append(Record("loss", loss, scope="client_val", status="ok" if math.isfinite(loss) else "missing"))
        rows += addressed(own, client=client, owner="client", model="global", round=number, moment=moment)
    return rows


def _nested(entries: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in entries.items():
        *groups, last = key.split(".")
        place = found
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    return found
