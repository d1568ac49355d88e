"""What a strategy declares to a run beside Flower's hooks, with the defaults that hold for Flower's own strategies."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from flwr.serverapp.strategy import FedAvg, Strategy

from fedlayers.core.errors import UserError
from fedlayers.core.layers import Layer
from fedlayers.core.quantities import Facts
from fedlayers.core.records import Record, Row
from fedlayers.flower.adapter import WRAPPERS, records_of
from fedlayers.flower.arrays import decode

Weights = Mapping[str, np.ndarray]


class Declared:
    """Mixed into a strategy: what a run cannot see from Flower's hooks. The values here hold for stock strategies.

    A run asks for nothing else, and for nothing by looking whether a strategy has it. Nodes are integers everywhere.
    """

    # Whether the server makes one model of what the clients send: to test, to keep, and for clients to drift from.
    has_global_model: ClassVar[bool] = True
    # Whether one participant trains on all clients' examples: then training leaves no clients to compare.
    pooled: ClassVar[bool] = False
    # Whether everybody is sent the same model; a strategy that wraps this one looks at no other.
    one_model: ClassVar[bool] = True
    # Whether replies count only through their weighted mean: then all arrive as one reply. Whoever overrides
    # aggregate_train says so itself, because it may count otherwise than what it inherits.
    averages: ClassVar[bool] = False
    # Whether it goes on where replies bring other layers than they did before, or than other replies: arrays that no
    # client sent stay as they were. A subclass says so itself, because it may look at all arrays.
    takes_parts: ClassVar[bool] = False
    # How to read the values of the strategy's own rows.
    facts: ClassVar[tuple[Facts, ...]] = ()
    # The quantities (the column ``metric``) whose rows :meth:`observe` wants to see.
    observes: Sequence[str] = ()

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls.takes_parts = bool(vars(cls).get("takes_parts"))
        # The first class in the order of inheritance that says one or does the other.
        first = next(c for c in cls.__mro__ if {"averages", "aggregate_train"} & vars(c).keys())
        if "averages" not in vars(first):
            cls.averages = False

    def wrapped(self) -> Strategy | None:
        """Return the strategy that this one wraps, None if it wraps none."""
        return None

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

    def observe(self, rows: Sequence[Row]) -> None:
        """Look at measured rows of the quantities in ``observes``, one or more, sorted by all their keys.

        Rows of ``after_local`` come in two calls: what clients measured before their replies are aggregated, what needs
        the aggregated model (comparisons of clients, the strategy's own rows) after it. So do those of
        ``after_aggregate``, before and after ``aggregate_evaluate``, and of ``start``, before round 1. What is measured
        in a round only because it is the last one is not shown, nor is ``final``: a run that goes on has another last
        round. What is kept of the rows in attributes is saved with the strategy.
        """

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
        """Return what the last aggregation made for a node that took part, None where that is the global model.

        A strategy that overrides this says ``one_model = False``.
        """
        return None


# What a strategy may declare, by name.
_DECLARED = tuple(name for name in vars(Declared) if not name.startswith("_"))


def declared(strategy: Strategy) -> Declared:
    """Return what a strategy declares: itself, or for Flower's own ones, with whatever they wrap, the defaults."""
    return next((part for part in parts_of(strategy) if isinstance(part, Declared)), Declared())


def average_by(strategy: Strategy, usual: str) -> str | None:
    """Return the metric by which replies may arrive as one weighted mean; None if the strategy has to see each.

    Args:
        strategy: the run's; what it wraps is asked nothing, because the wrapper may look at every reply.
        usual: the metric that weighs clients in this run.
    """
    if not (isinstance(strategy, Declared) and strategy.averages):
        return None
    return str(strategy.weighted_by_key) if isinstance(strategy, FedAvg) else usual


def arrays_named(records: Mapping[int, RecordDict], name: str) -> dict[int, dict[str, np.ndarray]]:
    """Return the arrays of one record for every node that sent it, to be read only."""
    found = {node: records_of(content, ArrayRecord).get(name) for node, content in records.items()}
    return {node: {key: decode(array) for key, array in own.items()} for node, own in found.items() if own is not None}


def parts_of(strategy: Strategy) -> Iterator[Strategy]:
    """Yield a strategy, the strategy that it wraps (Flower's for differential privacy wrap one), and so on."""
    part: Strategy | None = strategy
    while part is not None:
        yield part
        part = part.wrapped() if isinstance(part, Declared) else part.strategy if isinstance(part, WRAPPERS) else None


def check_declared(strategy: Strategy) -> None:
    """Raise UserError if a strategy has, or holds, what only those are asked for that derive from :class:`Declared`."""
    parts = list(parts_of(strategy))
    for part in parts:
        found = [] if isinstance(part, Declared) else [name for name in _DECLARED if name in dir(part)]
        found += [name for name, held in vars(part).items() if isinstance(held, Strategy) and held not in parts]
        if found:
            raise UserError(
                f"algorithm.strategy: {type(part).__name__} has {' and '.join(found)}, which nobody asks for; derive "
                "it from fedlayers.flower.strategy_contract.Declared, too, as in class Mine(Declared, FedAvg), and "
                "return a strategy that it wraps from its method wrapped"
            )
