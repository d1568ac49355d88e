"""What each round of training took, of a run or of a tracker's folder: the rows that figures of resources show."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

_MEMORY = {
    "host": "host_memory",
    "allocated": "gpu_memory",
    "peak_host": "peak_host_memory",
    "peak_allocated": "peak_gpu_memory",
    "peak_reserved": "peak_gpu_reserved",
}


@dataclass(frozen=True)
class PartTime:
    """Seconds of a part without the parts inside it."""

    own_seconds: float


@dataclass(frozen=True)
class RoundMemory:
    """Bytes at the end of the work, and at their highest; None where there is no GPU."""

    host: float | None
    allocated: float | None
    peak_allocated: float | None
    peak_reserved: float | None


@dataclass(frozen=True)
class RoundResources:
    """One round, or one epoch of a training of one's own; the names are those of the trackers' epochs.

    Attributes:
        epoch: the number of the round.
        components: path -> the mean time of a client.
        memory, peak_host: the largest of any client.
        throughput: the mean of the clients; None if nobody tells.
    """

    epoch: int
    components: dict[str, PartTime]
    memory: RoundMemory
    peak_host: float | None
    throughput: float | None


def training_resources(resources: pd.DataFrame) -> list[RoundResources]:
    """Return what training took, a round after the other; none where ``metrics=[resources]`` was not measured."""
    rows = resources[resources["moment"] == "after_local"]
    rows = rows[rows["metric"].isin([*_MEMORY.values(), "component_own_s", "throughput"])]
    numbers = sorted({int(number) for number in rows["round"]})
    rounds = [(number, rows[rows["round"] == number]) for number in numbers]
    return [_round(number, here) for number, here in rounds if (here["metric"] != "throughput").any()]


def _round(number: int, rows: pd.DataFrame) -> RoundResources:
    parts = rows[rows["metric"] == "component_own_s"]
    who = max(parts["client"].nunique(), 1)
    times = parts.groupby(parts["subject"].astype(str), sort=False)["value"].sum() / who
    largest = {name: _of(rows, metric, "max") for name, metric in _MEMORY.items()}
    peak = largest.pop("peak_host")
    components = {str(name): PartTime(float(seconds)) for name, seconds in times.items()}
    return RoundResources(number, components, RoundMemory(**largest), peak, _of(rows, "throughput", "mean"))


def _of(rows: pd.DataFrame, metric: str, how: str) -> float | None:
    values: Any = rows.loc[rows["metric"] == metric, "value"]
    return None if values.empty else float(values.agg(how))
