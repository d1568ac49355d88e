"""What a strategy declares to a run beside Flower's hooks, with the defaults that hold for Flower's own strategies."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from flwr.serverapp.strategy import Strategy

from fedlayers.core.errors import UserError
from fedlayers.core.layers import Layer
from fedlayers.core.quantities import Facts
from fedlayers.core.records import Record
from fedlayers.flower.adapter import records_of
from fedlayers.flower.arrays import decode

Weights = Mapping[str, np.ndarray]


class Declared:
    """Mixed into a strategy: what a run cannot see from Flower's hooks. The values here hold for stock strategies."""

    # Whether the server makes one model of what the clients send: to test, to keep, and for clients to drift from.
    has_global_model: ClassVar[bool] = True
    # Whether one participant trains on all clients' examples: then training leaves no clients to compare.
    pooled: ClassVar[bool] = False

    # How to read the values of the strategy's own rows.
    facts: ClassVar[tuple[Facts, ...]] = ()

    def know_layers(self, layers: Sequence[Layer]) -> None:
        """Take notice of the model's layers; Flower's strategies see names and arrays only."""

    def receive(self, server_round: int, moment: str, records: Mapping[int, RecordDict]) -> None:
        """Take what clients sent beside the model and the metrics, before the replies are aggregated.

        Args:
            server_round: the round.
            moment: ``after_local`` for replies to training; else that of the evaluation.
            records: node id -> its further records, by name; see :func:`arrays_named`. Nodes that sent none are absent.

        Raises:
            UserError: clients send what nobody takes; so it is unless a strategy overrides this.
        """
        names = sorted({name for content in records.values() for name in content})
        raise UserError(
            f"algorithm.client sends {' and '.join(map(repr, names))} beside the model, which algorithm.strategy does "
            "not take; choose a strategy with the method receive of fedlayers.flower.strategy_contract.Declared"
        )

    def rows(self) -> list[Record]:
        """Return rows of the strategy's own about the round that was aggregated last."""
        return []

    def contents(self, nodes: Iterable[int], arrays: ArrayRecord, config: ConfigRecord) -> Mapping[int, RecordDict]:
        """Return what each node is sent to evaluate outside of rounds: the global model.

        Args:
            nodes: node ids.
            arrays: the global model.
            config: what goes to every client beside the weights.
        """
        return dict.fromkeys(nodes, RecordDict({"arrays": arrays, "config": config}))

    def used(self, sent: Weights, metrics: Mapping[str, Any]) -> Weights:
        """Return the weights that a client worked with: those it was sent.

        Args:
            sent: name -> what it was sent.
            metrics: those of its reply.
        """
        return sent

    def made_for(self, node: int) -> Weights | None:
        """Return what the last aggregation made for a node that took part, None where that is the global model."""
        return None


_NAMES = ("has_global_model", "pooled", "facts", "know_layers", "receive", "rows", "contents", "used", "made_for")


def declared(strategy: Strategy) -> Declared:
    """Return what a strategy declares: itself, or for Flower's own ones, with whatever they wrap, the defaults."""
    return next((part for part in parts_of(strategy) if isinstance(part, Declared)), Declared())


def arrays_named(records: Mapping[int, RecordDict], name: str) -> dict[int, dict[str, np.ndarray]]:
    """Return the arrays of one record for every node that sent it, to be read only."""
    found = {node: records_of(content, ArrayRecord).get(name) for node, content in records.items()}
    return {node: {key: decode(array) for key, array in own.items()} for node, own in found.items() if own is not None}


def parts_of(strategy: Strategy) -> Iterator[Strategy]:
    """Yield a strategy, the strategy that it wraps (Flower's for differential privacy wrap one), and so on."""
    part: object = strategy
    while isinstance(part, Strategy):
        yield part
        part = vars(part).get("strategy")


def check_declared(strategy: Strategy) -> None:
    """Raise UserError if a strategy has what only those are asked for that derive from :class:`Declared`."""
    for part in parts_of(strategy):
        found = [] if isinstance(part, Declared) else [name for name in _NAMES if name in dir(part)]
        if found:
            raise UserError(
                f"algorithm.strategy: {type(part).__name__} has {' and '.join(found)}, which nobody asks for; derive "
                "it from fedlayers.flower.strategy_contract.Declared, too, as in class Mine(Declared, FedAvg)"
            )
