"""What a run that goes on is still to measure, so that what is not there yet is told apart from what never comes."""

from collections.abc import Mapping
from pathlib import Path

from fedlayers.core.errors import UserError
from fedlayers.core.schedule import Schedule
from fedlayers.runs.reading.run_facts import run_facts


def not_yet(run: Path) -> str | None:
    """Return what a run that goes on begins to measure later, and when, in words; None if there is no such metric.

    A metric that was due before has had its chance to measure what a reader misses; of others nobody knows before what
    they measure.

    Args:
        run: its folder.
    """
    facts = run_facts(run)
    if facts["status"] != "running":
        return None
    # Hydra and what it reads take longer to import than a chart of a run that is complete takes to draw.
    from fedlayers.runs.reading.run_config import typed_config

    try:
        config = typed_config(run)
    except UserError:
        return None
    done = facts.get("round")
    due = [
        f"{name} {when}"
        for name, node in config.metrics.items()
        if isinstance(node, Mapping) and (when := _first(node, done if isinstance(done, int) else -1, config.rounds))
    ]
    return ", ".join(due) or None


def _first(node: Mapping[str, object], done: int, last: int) -> str:
    """Return when a metric is due for the first time, empty if that is past or never.

    Args:
        node: of ``metrics`` in the configuration.
        done: the last round that is finished, 0 for what comes before the first one, -1 for none.
        last: the last round of the run.
    """
    rounds, moments = node.get("rounds"), node.get("moments")
    if not isinstance(rounds, list) or not isinstance(moments, list):
        return ""
    schedule = Schedule(rounds, moments)
    if "start" in moments:
        return "before the first round" if done < 0 else ""
    if {"after_local", "after_aggregate"} & {*moments}:
        first = next((number for number in range(1, last + 1) if schedule.is_due_round(number, last)), None)
        if first is not None:
            return f"in round {first}" if first > done else ""
    return "at the end" if "final" in moments else ""
