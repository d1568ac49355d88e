"""After a round the clients share the layers up to the transition that the layers' measures show, if they show one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fedlayers.core.checks import check, one_of
from fedlayers.core.layers import Layer
from fedlayers.core.plans.plan import FederationPlan
from fedlayers.core.plans.rule import PlanRule
from fedlayers.core.quantities import Facts
from fedlayers.core.records import Record, Row

CHOICES = ("consensus", "client")
FALLBACKS = ("all", "head")
_QUANTITY = "transition"
_TOGETHER = "combined"


@dataclass(frozen=True)
class Found:
    """A transition that was looked for.

    Attributes:
        measure: by which measure.
        last: the name of the last layer before it; None if none was found.
        reason: why none was found; empty if one was.
    """

    measure: str
    last: str | None
    reason: str


class Automatic(PlanRule):
    """All layers are shared until a round's layer measures are known; then those before the transition they show.

    In the rounds r₁ < r₂ … the metric :class:`metrics.transition.metric.LayerTransition` says for every client and for
    all together after which layer the model stops to be general; of several measures what most of them say counts
    (``combined``). From round r₁ + 1 on the layers before the transition are shared and the others are personal, until
    r₂ shows another one. Layers without weights and layers that normalise go with the layer before them.

    With l* the transition, φ the weights of the layers up to it and ψ_k client k's weights of the others, that is
    PLayer-FL: min over φ, ψ_1 … ψ_K of Σ p_k F_k(φ, ψ_k), F_k the mean loss of client k; every client takes steps along
    −∇F_k(φ, ψ_k), the server makes the means of φ, and ψ_k starts from what round r₁ left on the server.

    Where no transition is found the fallback is what it is declared to be. Rows of ``plan_prefix`` say how many layers
    are shared from then on, for each client if they differ, and why.

    Args:
        rounds: r₁, r₂, …, ascending, 1 or more.
        choice: ``consensus``, one plan for all from the median over clients, or ``client``, each its own; one that took
            no part in the round gets the common one.
        fallback: all layers but the ``head``, the last one with weights, are shared, or ``all``, which is FedAvg.

    References:
        Elhussein & Gürsoy 2025, PLayer-FL, arXiv 2502.08829, where the transition is read off a figure.
    """

    facts = (Facts("plan_prefix", "layers", 0, math.inf, "neutral", "Elhussein & Gürsoy 2025, arXiv 2502.08829"),)
    observes = (_QUANTITY,)

    def __init__(self, rounds: Sequence[int] = (1,), choice: str = "consensus", fallback: str = "head") -> None:
        numbers = not isinstance(rounds, str) and all(isinstance(r, int) and not isinstance(r, bool) for r in rounds)
        ascending = numbers and len(rounds) > 0 and min(rounds) > 0 and list(rounds) == sorted(set(rounds))
        check(ascending, "plan.rule.rounds", "a list of round numbers from 1, ascending, such as [1]", rounds)
        one_of("plan.rule.choice", choice, CHOICES)
        one_of("plan.rule.fallback", fallback, FALLBACKS)
        self.rounds, self.choice, self.fallback = tuple(rounds), choice, fallback
        self.observed_in = self.rounds
        # Round -> client, -1 for all together -> what was found.
        self.found: dict[int, dict[int, Found]] = {}

    def holding(self, server_round: int, client: int) -> FederationPlan:
        """Return the plan that shares all layers, or from the round after one that was looked at what that showed."""
        known = [number for number in self.rounds if number < server_round and number in self.found]
        return self._plan(known[-1], client) if known else FederationPlan.all()

    def observe(self, rows: Sequence[Row]) -> None:
        """Take the transitions that were found after local training, or why none was."""
        for row in rows:
            if not isinstance(row, Record) or row.metric != _QUANTITY or row.moment != "after_local":
                continue
            if row.round not in self.rounds:
                continue
            own, client = self.found.setdefault(row.round, {}), -1 if row.client is None else row.client
            if client not in own or own[client].measure != _TOGETHER:
                last = row.layer if math.isfinite(row.value) else None
                own[client] = Found(row.variant or "", last, "" if last else row.reason or "it is not known")

    def rows(self, server_round: int) -> list[Record]:
        """Return how many layers are shared after a round that was looked at, for all or for each client, and why."""
        if server_round not in self.found:
            return []
        own = sorted(client for client in self.found[server_round] if client >= 0)
        whose = own if self.choice == "client" else [-1]
        return [self._row(server_round, client) for client in whose]

    def state(self) -> dict[str, Any]:
        """Return what was found."""
        return {
            "found": {
                str(number): {str(client): asdict(one) for client, one in own.items()}
                for number, own in self.found.items()
            }
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what was found."""
        self.found = {
            int(number): {int(client): Found(**one) for client, one in own.items()}
            for number, own in state["found"].items()
        }

    def _plan(self, number: int, client: int) -> FederationPlan:
        found = self._decisive(number, client)
        if found.last is not None:
            how = f"before the transition of {found.measure} after {found.last} in round {number}"
            return FederationPlan.sharing(self._up_to(found.last), self.layers, how, number + 1)
        how = f"fallback {self.fallback}: no transition in round {number}, {found.reason}"
        shared = self.layers if self.fallback == "all" else self._without_head()
        return FederationPlan.sharing(shared, self.layers, how, number + 1)

    def _decisive(self, number: int, client: int) -> Found:
        """Return what decides about a client."""
        own, common = self.found[number], Found("", None, "nothing was measured")
        mine = own.get(client) if self.choice == "client" else None
        return mine or own.get(-1, common)

    def _up_to(self, last: str) -> list[Layer]:
        """Return the layers before the next one that may be a transition's first."""
        (place,) = (layer.index for layer in self.layers if layer.name == last)
        ends = [layer.index for layer in self._places() if layer.index > place]
        return [layer for layer in self.layers if not ends or layer.index < ends[0]]

    def _without_head(self) -> list[Layer]:
        places = self._places()
        return [layer for layer in self.layers if not places[1:] or layer.index < places[-1].index]

    def _places(self) -> list[Layer]:
        return [layer for layer in self.layers if layer.weights and layer.kind != "norm"]

    def _row(self, number: int, client: int) -> Record:
        plan = self._plan(number, client)
        shared = plan.shared(self.layers)
        last = {"layer": shared[-1].name, "layer_index": shared[-1].index} if shared else {}
        owner = {"owner": "server"} if client < 0 else {"owner": "client", "client": client}
        variant = self._decisive(number, client).measure or None
        return Record("plan_prefix", len(shared), variant=variant, reason=plan.how, **last, **owner)  # type: ignore[arg-type]
