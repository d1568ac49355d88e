"""What of the model travels: messages packed as the federation plan of the round says, where that changes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from fedlayers.core.layers import Layer
from fedlayers.core.plans.plan import PERSONAL, SHARED, FederationPlan
from fedlayers.core.plans.rule import PlanRule, TrainedRound
from fedlayers.core.quantities import Facts
from fedlayers.core.records import Record
from fedlayers.core.weights import from_safetensors_bytes, to_safetensors_bytes
from fedlayers.flower.adapter import make_array_record, number, records_of
from fedlayers.flower.arrays import decode
from fedlayers.flower.contents import ARRAYS, BUFFERS, CONFIG, METRICS, PLAN
from fedlayers.flower.replies import Replies, client_of

LAYER_SHARED = Facts("layer_shared", "1", 0.0, 1.0, "neutral", "own definition: 1 where a layer is averaged")


class Packing:
    """Which layers each message brings, where plans change; with a constant plan messages stay as they are.

    A client is sent the layers of which the server has a newer copy than the client: all but those that it trained and
    kept in a round, until a round in which they are averaged and its plan shares them.

    Args:
        rule: which plan holds when, begun.
        clients: how many clients there are.
    """

    def __init__(self, rule: PlanRule, clients: int) -> None:
        self.rule, self.layers, self.clients = rule, rule.layers, clients
        # Client -> the layers of which its own copy is the newer one.
        self._own: dict[int, frozenset[Layer]] = {}

    def plan_of(self, server_round: int) -> FederationPlan:
        """Return the plan of a round as the server sees it: personal is what stays with every client."""
        if not self.rule.changes:
            return self.rule.holding(server_round, 0)
        letters = set(self._letters(server_round, range(self.clients)).values())
        both = ("".join(places) for places in zip(*letters, strict=True))
        common = [PERSONAL if set(places) == {PERSONAL} else SHARED for places in both]
        return FederationPlan.spelt("".join(common), self.layers)

    def plans(self, server_round: int, clients: Iterable[int]) -> dict[int, FederationPlan]:
        """Return the plans of clients in a round, where plans change."""
        return {client: self.rule.holding(server_round, client) for client in clients} if self.rule.changes else {}

    def pack(self, messages: Sequence[Message], server_round: int) -> None:
        """Leave in messages what their clients are sent, and tell these which plan holds."""
        if not self.rule.changes or not messages:
            return
        told = self._told(server_round, [message.metadata.dst_node_id - 1 for message in messages])
        # What a strategy sends to many clients stays one object where they are sent the same.
        done: dict[tuple[int, frozenset[Layer]], tuple[RecordDict, RecordDict]] = {}
        for message in messages:
            own, content = self._own.get(message.metadata.dst_node_id - 1, frozenset()), message.content
            if (id(content), own) not in done:
                done[id(content), own] = content, _without(content, own, told)
            message.content = done[id(content), own][1]

    def trained(self, phase: Replies, server_round: int, key: str) -> list[Record]:
        """Take notice of a round's training, let the rule learn of it, and return rows about it.

        Args:
            phase: the replies.
            server_round: the round.
            key: the metric of the replies that weighs clients.
        """
        if not self.rule.changes:
            return []
        plans = self.plans(server_round, phase.clients)
        averaged = {x for plan in plans.values() for x in self.layers if plan.shares(x) and x not in plan.withheld}
        for client, own in self._own.items():
            plan = self.rule.holding(server_round, client)
            self._own[client] = frozenset(x for x in own if x not in averaged or not plan.shares(x))
        for client, plan in plans.items():
            self._own[client] = self._own.get(client, frozenset()) | frozenset(plan.personal)
        if self.rule.needs_weights(server_round):
            self.rule.learn(_trained_round(phase, server_round, key))
        return [*self._rows(plans), *self.rule.rows(server_round)]

    def state(self) -> dict[str, Any]:
        """Return what has to be known to go on after a round, as JSON would hold it."""
        if not self.rule.changes:
            return {}
        own = {str(client): sorted(layer.name for layer in kept) for client, kept in sorted(self._own.items())}
        return {"plan": {"own": own, "rule": self.rule.state()}}

    def restore(self, scalars: Mapping[str, Any]) -> None:
        """Take back what :meth:`state` returned, among other things.

        Raises:
            KeyError: it is not there.
        """
        if self.rule.changes:
            kept, named = scalars["plan"], {layer.name: layer for layer in self.layers}
            self._own = {int(client): frozenset(named[name] for name in own) for client, own in kept["own"].items()}
            self.rule.restore(kept["rule"])

    def _letters(self, server_round: int, clients: Iterable[int]) -> dict[int, str]:
        plans = self.plans(server_round, clients)
        # Many clients have the same object.
        spelt = {id(plan): plan.letters(self.layers) for plan in plans.values()}
        return {client: spelt[id(plan)] for client, plan in plans.items()}

    def _told(self, server_round: int, clients: Sequence[int]) -> str:
        """Return every client's plan in the words of a message: one for all, or one each."""
        letters = self._letters(server_round, clients)
        same = set(letters.values())
        return json.dumps({"": same.pop()} if len(same) == 1 else letters)

    def _rows(self, plans: Mapping[int, FederationPlan]) -> list[Record]:
        """Return which layers were sent: by all, a row for each layer, or a row for each client and layer."""
        letters = {client: plan.letters(self.layers) for client, plan in plans.items()}
        if len(set(letters.values())) == 1:
            return [
                _row(layer, letter, None)
                for layer, letter in zip(self.layers, next(iter(letters.values())), strict=True)
            ]
        return [
            _row(layer, letter, client)
            for client, own in letters.items()
            for layer, letter in zip(self.layers, own, strict=True)
        ]


def told_plan(config: ConfigRecord, client: int, layers: Sequence[Layer]) -> FederationPlan | None:
    """Return the plan that a message's configuration names for a client, None if it names none."""
    told = config.get(PLAN)
    if told is None:
        return None
    letters = json.loads(str(told))
    return FederationPlan.spelt(letters.get("") or letters[str(client)], layers)


def _without(content: RecordDict, own: frozenset[Layer], told: str) -> RecordDict:
    """Return a message's content without some layers, telling its clients their plans."""
    away = {name for layer in own for name in (*layer.names, *layer.buffers)}
    arrays, config = records_of(content, ArrayRecord)[ARRAYS], records_of(content, ConfigRecord)[CONFIG]
    settings = ConfigRecord({**config, PLAN: told})
    buffers = config.get(BUFFERS)
    if isinstance(buffers, bytes) and away:
        settings[BUFFERS] = to_safetensors_bytes(
            {name: tensor for name, tensor in from_safetensors_bytes(buffers).items() if name not in away}
        )
    left = make_array_record({name: array for name, array in arrays.items() if name not in away})
    return RecordDict({**content, ARRAYS: left if away else arrays, CONFIG: settings})


def _trained_round(phase: Replies, server_round: int, key: str) -> TrainedRound:
    weights = {client_of(m): number(records_of(m.content, MetricRecord)[METRICS][key]) for m in phase.messages}
    total = sum(weights.values())
    arrays = {client: {name: decode(array) for name, array in own.items()} for client, own in phase.arrays.items()}
    return TrainedRound(server_round, arrays, {client: weight / total for client, weight in weights.items()})


def _row(layer: Layer, letter: str, client: int | None) -> Record:
    owner = "server" if client is None else "client"
    shared = float(letter == SHARED)
    return Record(LAYER_SHARED.name, shared, layer=layer.name, layer_index=layer.index, owner=owner, client=client)
