"""Tries a strategy out before the run: whether it ever asks its clients, and for how many it would wait in vain."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.serverapp.strategy import Strategy

from fedlayers.arrays import encode
from fedlayers.config import check
from fedlayers.errors import UserError
from fedlayers.flower import MODELS_OF_TREES, Grid, set_identity
from fedlayers.seeding import global_state
from fedlayers.strategy_contract import parts_of

# So often a strategy may ask which nodes there are: Flower's own wait a second between two questions.
_PATIENCE = 8
_MINIMUMS = ("min_train_nodes", "min_evaluate_nodes", "min_available_nodes")


class _NeedsClientsError(Exception):
    """The strategy asks its clients while it configures a round: that cannot be tried without them."""


class _Nodes(Grid):
    """A Grid that only knows how many nodes there are, and loses its patience with those who wait for more."""

    def __init__(self, count: int) -> None:
        self._count, self._asked = count, 0

    def get_node_ids(self) -> list[int]:
        self._asked += 1
        if self._asked > _PATIENCE:
            raise UserError(
                f"algorithm.strategy waits for more clients than there are ({self._count}); raise clients, or lower "
                "what the strategy asks for"
            )
        return list(range(1, self._count + 1))

    def _unavailable(self, *_: Any, **__: Any) -> Any:
        raise _NeedsClientsError

    set_run = create_message = push_messages = pull_messages = send_and_receive = _unavailable
    run = property(_unavailable)


def check_strategy(strategy: Strategy, clients: int) -> None:
    """Raise UserError for a strategy that can do nothing here, whatever it would say.

    Args:
        strategy: as built for the run.
        clients: how many there are.
    """
    key = "algorithm.strategy"
    for part in parts_of(strategy):
        if isinstance(part, MODELS_OF_TREES):
            raise UserError(
                f"{key}._target_ must be a strategy for networks, got {type(part).__name__}, which is for XGBoost's "
                "trees; choose another algorithm"
            )
        for name in _MINIMUMS:
            wanted = vars(part).get(name)
            if isinstance(wanted, int):
                why = "the strategy would wait for others for ever"
                check(wanted <= clients, f"{key}.{name}", f"{clients} or less, the number of clients", wanted, why)
        key = f"{key}.strategy"


def rehearse(
    strategy: Strategy, weights: Mapping[str, np.ndarray], settings: Mapping[str, Any], clients: int, seed: int
) -> None:
    """Let a strategy configure training and evaluation of the first round as the run will; nobody is asked.

    Args:
        strategy: one that is thrown away afterwards.
        weights: name -> weights of the initial model.
        settings: what goes to every client beside the weights.
        clients: how many there are.
        seed: the run's.

    Raises:
        UserError: it waits for clients that are not there.
    """
    set_identity()
    arrays = ArrayRecord({name: encode(array) for name, array in weights.items()})
    for configure in (strategy.configure_train, strategy.configure_evaluate):
        try:
            with global_state(seed, "sample", 1):
                _: list[Message] = list(configure(1, arrays, ConfigRecord(dict(settings)), _Nodes(clients)))
        except _NeedsClientsError:
            return
