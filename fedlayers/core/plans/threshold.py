"""After a round the layers are shared of which a measured quantity lies below, or above, a threshold."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

from fedlayers.core.checks import check, count, finite
from fedlayers.core.layers import Layer
from fedlayers.core.plans.plan import FederationPlan
from fedlayers.core.plans.rule import PlanRule
from fedlayers.core.quantities import Facts
from fedlayers.core.records import Record, Row, missing


class Threshold(PlanRule):
    """All layers are shared until round r₀ is done; then those whose mean over clients is at most, or least, t.

    A layer's value is the mean of all rows of the quantity in round r₀ after local training that are about the layer
    and have a value. Layers without one are not shared. If none or all would be shared, all stay shared, and the rows
    of ``plan_threshold`` say why.

    Args:
        quantity: the quantity, as the column ``metric`` calls it, such as ``drift``; a metric must measure it in r₀.
        below: t, if the layers with smaller values are shared.
        above: t, if those with larger values are.
        round: r₀, 1 or more.
    """

    facts = (Facts("plan_threshold", "", -math.inf, math.inf, "neutral", "own definition: mean of a layer's rows"),)

    def __init__(self, quantity: str, below: float | None, above: float | None, round: int) -> None:
        count("plan.rule.round", round)
        for key, value in (("below", below), ("above", above)):
            check(value is None or finite(value), f"plan.rule.{key}", "a number, or null", value)
        check((below, above) != (None, None), "plan.rule.below", "a number if plan.rule.above is null", below)
        advice = "add plan.rule.below=null, or leave plan.rule.above out"
        check(below is None or above is None, "plan.rule.below", "null if plan.rule.above is a number", below, advice)
        self.observes, self.observed_in = (quantity,), (round,)
        self.below, self.above, self.round = below, above, round
        # Layer -> the values in round r₀.
        self.found: dict[str, list[float]] = {}

    def holding(self, server_round: int, client: int) -> FederationPlan:
        """Return the plan that shares all layers, or after the round those on the right side of the threshold."""
        shared = [] if server_round <= self.round else self._chosen()
        if len(shared) in (0, len(self.layers)):
            return FederationPlan.all()
        return FederationPlan.sharing(shared, self.layers, f"{self.observes[0]} {self._side}", self.round + 1)

    def observe(self, rows: Sequence[Row]) -> None:
        """Take the values of layers in the round after local training."""
        for row in rows:
            when = (self.round, "after_local", None)
            if not isinstance(row, Record) or (row.round, row.moment, row.step) != when or row.layer is None:
                continue
            if math.isfinite(row.value):
                self.found.setdefault(row.layer, []).append(row.value)

    def rows(self, server_round: int) -> list[Record]:
        """Return each layer's value in the round, and why all stay shared if they do."""
        if server_round != self.round:
            return []
        told = [_mean(layer, self.found[layer.name]) for layer in self.layers if layer.name in self.found]
        shared = self._chosen()
        if len(shared) in (0, len(self.layers)):
            which = "all layers have" if shared else "no layer has"
            told.append(missing("plan_threshold", f"{which} {self.observes[0]} {self._side}: all stay shared"))
        return [replace(row, variant=self.observes[0], owner="server") for row in told]

    def state(self) -> dict[str, Any]:
        """Return the values."""
        return {"found": self.found}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back the values."""
        self.found = {name: list(values) for name, values in state["found"].items()}

    @property
    def _side(self) -> str:
        return f"at most {self.below:g}" if self.below is not None else f"at least {self.above:g}"

    def _chosen(self) -> list[Layer]:
        means = {name: sum(values) / len(values) for name, values in self.found.items()}
        low = -math.inf if self.above is None else self.above
        high = math.inf if self.below is None else self.below
        return [layer for layer in self.layers if low <= means.get(layer.name, math.nan) <= high]


def _mean(layer: Layer, values: Sequence[float]) -> Record:
    error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    why = None if error is not None else "one value has no standard error"
    value = Record("plan_threshold", fmean(values), stderr=error, n=len(values), reason=why)
    return replace(value, layer=layer.name, layer_index=layer.index)
