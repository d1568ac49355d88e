"""How fast a run goes, and how long it has to go, from what it has written."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlayers.runs.reading.parts import parts

# Rounds whose mean time is the rate.
_RECENT = 5


@dataclass(frozen=True)
class RunPace:
    """How fast a run goes.

    Attributes:
        round_s: mean seconds of its last rounds.
        left_s: seconds that the rounds that are left take at this rate.
    """

    round_s: float
    left_s: float


def pace_of(run: Path, facts: Mapping[str, Any]) -> RunPace | None:
    """Return how fast a run goes; None before its first round, or where it does not say how many it will have.

    Args:
        run: its folder.
        facts: what run.json says.
    """
    if not isinstance(facts.get("rounds"), int):
        return None
    seconds = [value for part in parts(run, "resources")[-_RECENT:] for value in _round_seconds(part)]
    if not seconds:
        return None
    each = sum(seconds) / len(seconds)
    return RunPace(each, each * max(0, facts["rounds"] - (facts.get("round") or 0)))


def _round_seconds(part: Path) -> list[float]:
    """Return what a part of ``resources/`` says about its round's time; nothing if it is just being replaced."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(part, columns=["metric", "moment", "value"])
    except (OSError, pa.ArrowException):
        return []
    chosen = pc.and_(pc.equal(table["metric"], "round_s"), pc.equal(table["moment"], "after_aggregate"))
    return [float(value) for value in table.filter(chosen)["value"].to_pylist()]
