"""What is said of a run, and of each of several, without a look into their tables."""

from collections.abc import Mapping
from typing import Any

from fedlayers.core.json_values import plain
from fedlayers.core.quantities import Quantities


def run_line(run: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run in a list of some: ``run, status, reason`` and ``facts``, those that are no lists.

    Args:
        run: its name.
        facts: see :func:`fedlayers.runs.reading.run_facts.run_facts`.
    """
    flat = {key: value for key, value in facts.items() if not isinstance(value, list | dict)}
    reason = facts.get("reason")
    return {"run": run, "status": str(facts["status"]), "reason": reason and str(reason), "facts": plain(flat)}


def run_page(facts: Mapping[str, Any], models: list[tuple[int, str]], quantities: Quantities) -> dict[str, Any]:
    """Return all that is said of one run: ``facts, models`` and ``quantities``.

    Args:
        facts: see :func:`fedlayers.runs.reading.run_facts.run_facts`.
        models: which can be looked into: round, and ``server`` or a client's number.
        quantities: what the run states of what it measured.
    """
    known = [
        {
            "name": one.name, "unit": one.unit, "low": plain(one.low), "high": plain(one.high),
            "direction": one.direction, "symmetric": one.symmetric, "reference": one.reference,
        }
        for one in quantities.values()
    ]  # fmt: skip
    return {"facts": plain(facts), "models": models, "quantities": known}
