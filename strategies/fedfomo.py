"""FedFomo's server: it sends every client the models of others that were of use to it.

References:
    Zhang, Sapra, Fidler, Yeung & Alvarez 2021, Personalized Federated Learning with First Order Model Optimization,
    ICLR (arXiv 2012.08565), section 3.2.
"""

import random
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid

from fedlayers.core.checks import check, count
from fedlayers.flower.contents import array_record
from fedlayers.flower.strategy_contract import arrays_named
from strategies.cluster_models import node_of, weights_of
from strategies.local import Local


class FedFomo(Local):
    """Keeps every client's last model and how much it was worth to others: p_k ← p_k + w_k, p = 0 in the beginning.

    Client k is sent the ``models`` other ones with the largest p_k, the first of equal ones, or with the probability ε
    as many at random. Without models it is ``algorithm=local``, bit for bit.

    Args:
        models: how many models of others each client is sent, 0 or more.
        epsilon: ε in [0, 1].
        **flower: arguments of Flower's FedAvg (sampling fractions, the key of the weights).
    """

    def __init__(self, models: int, epsilon: float, **flower: Any) -> None:
        count("algorithm.models", models, least=0, otherwise=" (0 is local training)")
        check(0 <= epsilon <= 1, "algorithm.epsilon", "in [0, 1]", epsilon)
        super().__init__(**flower)
        self.models, self.epsilon = models, epsilon
        # Node id -> its last model, and -> node id -> what that one's models were worth to it so far.
        self.trained: dict[int, dict[str, np.ndarray]] = {}
        self.worth: dict[int, dict[int, float]] = {}
        # Of the round that is under way: node id -> whose models it was sent, in this order.
        self.offered: dict[int, list[int]] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Sample clients and send each some models of others."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        self.offered = {message.metadata.dst_node_id: [] for message in messages}
        for node in sorted(self.offered):
            self.offered[node] = self._chosen(node)
        return [self._with_models(message) for message in messages]

    def receive(self, server_round: int, moment: str, records: Mapping[int, RecordDict]) -> None:
        """Add what models were worth to those who were sent them."""
        for node, found in arrays_named(records, "weights").items():
            worth = self.worth.setdefault(node, {})
            for other, weight in zip(self.offered[node], found["weights"].tolist(), strict=True):
                worth[other] = worth.get(other, 0.0) + weight

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Keep the clients' models; return no weights, and their mean training metrics."""
        found = [reply for reply in replies if reply.has_content()]
        if self.models:
            self.trained |= {node_of(reply): {n: np.array(a) for n, a in weights_of(reply).items()} for reply in found}
        result: tuple[ArrayRecord | None, MetricRecord | None] = super().aggregate_train(server_round, found)
        return result

    def _chosen(self, node: int) -> list[int]:
        """Return whose models a node is sent, ascending."""
        others = [other for other in sorted(self.trained) if other != node]
        wanted = min(self.models, len(others))
        if not wanted:
            return []
        # The loop seeds Python's generator for this round; the sample of clients is drawn already.
        if random.random() < self.epsilon:
            return sorted(random.sample(others, wanted))
        worth = self.worth.get(node, {})
        return sorted(sorted(others, key=lambda other: -worth.get(other, 0.0))[:wanted])

    def _with_models(self, message: Message) -> Message:
        """Return a message with the models that its node is sent, stacked: shape (M, …)."""
        node, kind = message.metadata.dst_node_id, message.metadata.message_type
        content, chosen = RecordDict(dict(message.content)), [self.trained[other] for other in self.offered[node]]
        if chosen:
            content["others"] = array_record({name: np.stack([own[name] for own in chosen]) for name in chosen[0]})
        return Message(content, node, kind)
