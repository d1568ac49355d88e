"""Made-up tables of a run that looked for a transition and chose a plan."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from fedlayers.core.records import Record, missing
from tests.support.figure_tables import frame

LAYERS = ("conv1", "conv2", "fc1", "fc2")
WHY = "the profile rises from the start"


def transition_rows(server_round: int = 1, clients: int = 3, found: bool = True) -> list[Record]:
    """Return rows of two measures; sensitivity finds a transition after conv2 unless ``found`` is False."""
    rows: list[Record] = []
    for measure, place in (("sensitivity", 2 if found else None), ("curvature", None)):
        for client in (None, *range(clients)):
            address: dict[str, Any] = {
                "run": "r", "round": server_round, "moment": "after_local", "variant": measure, "client": client,
                "owner": "server" if client is None else "client", "n": clients if client is None else 16,
            }  # fmt: skip
            for index, layer in enumerate(LAYERS):
                at = {**address, "layer": layer, "layer_index": index}
                value = 0.4 * index if index < 2 else 3.0 * index + (client or 0)
                rows += [
                    Record("layer_rise", value, stderr=0.1, **at),
                    Record("layer_rise_low", value - 0.2, **at),
                    Record("layer_rise_high", value + 0.2, **at),
                ]
            if place is None:
                rows.append(missing("transition", WHY, **address))
                continue
            at = {**address, "layer": LAYERS[place - 1], "layer_index": place - 1}
            numbers = {"transition": 2, "transition_low": 2, "transition_high": 3, "transition_confidence": 0.75}
            rows += [Record(name, number, **at) for name, number in numbers.items()]
        common = {"run": "r", "round": server_round, "moment": "after_local", "variant": measure, "owner": "server"}
        rows.append(Record("transition_agreement", 2 / 3, n=3, **common))  # type: ignore[arg-type]
    return rows


def plan_rows(reasons: Sequence[tuple[int | None, str]], server_round: int = 1) -> list[Record]:
    """Return what an automatic plan says for all clients, or for some, two layers shared."""
    return [
        Record(
            "plan_prefix", 2, run="r", round=server_round, moment="after_local", client=client, layer="conv2",
            layer_index=1, reason=reason, variant="sensitivity",
        )
        for client, reason in reasons
    ]  # fmt: skip


def transition_frame(*rows: Sequence[Record]) -> pd.DataFrame:
    return frame([row for some in rows for row in some], "records")
