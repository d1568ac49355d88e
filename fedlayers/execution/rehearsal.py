"""Tries a strategy out before the run: whom it waits for, what it tells clients, what it makes of replies."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg, Strategy

from fedlayers.config.quantity_names import asks_for
from fedlayers.config.schema.plan import Plan
from fedlayers.config.schema.settings import Config
from fedlayers.core.checks import check
from fedlayers.core.errors import UserError
from fedlayers.core.plans.rule import PlanRule
from fedlayers.core.quantities import stated_by
from fedlayers.core.seeding import global_state
from fedlayers.core.spelling import did_you_mean
from fedlayers.flower.adapter import MODELS_OF_TREES, WRAPPERS, Grid, set_identity
from fedlayers.flower.arrays import encode
from fedlayers.flower.client_contract import Participant, declared_client
from fedlayers.flower.strategy_contract import Declared, declared, parts_of
from fedlayers.flower.unread_settings import check_messages
from metrics.base import Metric

# So often a strategy may ask which nodes there are: Flower's own wait a second between two questions.
_PATIENCE = 8


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
        own = isinstance(part, Declared) and not (part.one_model and part.has_global_model)
        name, why = type(part).__name__, "what wraps it looks at the global model"
        check(part is strategy or not own, f"{key}._target_", "one that sends everybody one model", name, why)
        if isinstance(part, FedAvg):
            _check_minimums(part, key, clients)
        key = f"{key}.strategy"


def reads_plan(strategy: Strategy) -> bool:
    """Say whether it matters to a strategy which layers stay with the clients: not if all do, or it has none."""
    said = declared(strategy)
    return said.has_global_model and not said.pooled


def check_plan(strategy: Strategy, client: type[Participant], plan: Plan) -> None:
    """Raise UserError for a plan that strategy or clients cannot honour: as all layers stay anyway, or it changes."""
    why = "trains one participant on all clients' examples" if declared(strategy).pooled else "shares no layer anyway"
    if plan.name != "all" and not reads_plan(strategy):
        raise UserError(
            f"plan must be left out because {type(strategy).__name__} {why}, got {plan.name!r}; leave it out, or "
            "choose algorithm=fedavg"
        )
    if plan.rule and not (declared(strategy).takes_parts and client.takes_parts):
        who = type(strategy).__name__ if not declared(strategy).takes_parts else client.__name__
        raise UserError(
            f"plan must be one that stays the same with {who}, which takes every client's layers to be the same in all "
            f"rounds, got {plan.name!r}; choose algorithm=fedavg, or a plan such as plan=head"
        )


def _check_minimums(strategy: FedAvg, key: str, clients: int) -> None:
    minimums = {
        "min_train_nodes": strategy.min_train_nodes,
        "min_evaluate_nodes": strategy.min_evaluate_nodes,
        "min_available_nodes": strategy.min_available_nodes,
    }
    for name, wanted in minimums.items():
        why = "the strategy would wait for others for ever"
        check(wanted <= clients, f"{key}.{name}", f"{clients} or less, the number of clients", wanted, why)


def check_observed(
    key: str,
    looker: Declared | PlanRule,
    client: type[Participant],
    metrics: Mapping[str, Metric],
    strategy: type = Declared,
) -> None:
    """Raise UserError for a quantity that strategy or plan want to see and only a metric that the run lacks measures.

    A plan's is refused as well if nobody states it; a strategy's may be in rows that its own clients make up.

    Args:
        key: the dotted key of who looks.
        looker: who looks.
        client: the clients, which have rows of their own.
        metrics: the run's.
        strategy: the strategy beside a plan, which has rows of its own.
    """
    measured = [facts for metric in metrics.values() for facts in metric.facts]
    known = {facts.name for facts in (*measured, *stated_by(type(looker)), *stated_by(client), *stated_by(strategy))}
    for quantity in looker.observes:
        found = asks_for(quantity) if quantity not in known else None
        if quantity in known or (found is None and isinstance(looker, Declared)):
            continue
        advice = "choose a metric that states it in its facts, or a quantity in the column metric of the tables"
        if found:
            close, group, option = found
            advice = f"add {option} to {group}" if close == quantity else did_you_mean(close)
        raise UserError(
            f"{key} must observe what the run measures, got {quantity!r}, which no metric of it does; {advice}"
        )


def check_observed_in(rule: PlanRule, metrics: Mapping[str, Metric]) -> None:
    """Raise UserError for a round in which what a plan wants to see is measured by none of the run's metrics."""
    for quantity in rule.observes:
        measuring = {n: one for n, one in metrics.items() if any(facts.name == quantity for facts in one.facts)}
        for server_round in rule.observed_in if measuring else ():
            # Not only because it happens to be the last one.
            if not any(one.schedule.is_due(server_round, sys.maxsize, "after_local") for one in measuring.values()):
                raise UserError(
                    f"plan.rule must look at a round in which {quantity} is measured after local training, got "
                    f"{server_round}; add it to metrics.{next(iter(measuring))}.rounds"
                )


def rehearse(make: Callable[[], Strategy], weights: Mapping[str, np.ndarray], config: Config, clients: int) -> None:
    """Let a strategy configure training and evaluation of the first round as the run will; nobody is asked.

    Args:
        make: makes a strategy of the run's kind, which is thrown away afterwards.
        weights: name -> weights of the initial model.
        config: the run's.
        clients: how many there are.

    Raises:
        UserError: it waits for clients that are not there, tells clients what they do not read, or makes nothing of
            what they send.
    """
    set_identity()
    strategy = make()
    try:
        trained = _configured(strategy, "train", weights, config, clients)
        _configured(strategy, "evaluate", weights, config, clients)
    except _NeedsClientsError:
        return
    for part in parts_of(strategy):
        sampled = part.num_sampled_clients if isinstance(part, WRAPPERS) else len(trained)
        why = "the noise depends on it"
        key = "algorithm.strategy.num_sampled_clients"
        check(sampled == len(trained), key, f"{len(trained)}, the clients that train in a round", sampled, why)
    sends = declared_client(config.algorithm["client"]).sends
    if trained and sends is not None and all(type(part).__module__.startswith("flwr.") for part in parts_of(strategy)):
        # Another one: some remember the first model that they see.
        _aggregate(make(), list(weights), config, clients, sends)


def first_messages(
    strategy: Strategy, weights: Mapping[str, np.ndarray], config: Config, clients: int
) -> list[Message]:
    """Return what a strategy, which is thrown away afterwards, sends to train in the first round, by client.

    Empty if it waits for clients. The arguments are those of :func:`rehearse`.
    """
    set_identity()
    try:
        messages = _configured(strategy, "train", weights, config, clients)
    except _NeedsClientsError:
        return []
    return sorted(messages, key=lambda message: message.metadata.dst_node_id)


def _configured(
    strategy: Strategy, phase: str, weights: Mapping[str, np.ndarray], config: Config, clients: int
) -> list[Message]:
    """Return the messages of the first round's training or evaluation, which hold nothing that nobody reads."""
    moment = "after_local" if phase == "train" else "after_aggregate"
    settings = ConfigRecord({"server-round": 1, "last-round": config.rounds, "moment": moment})
    arrays = ArrayRecord({name: encode(array) for name, array in weights.items()})
    configure = strategy.configure_train if phase == "train" else strategy.configure_evaluate
    with global_state(config.seed, "sample", 1):
        messages = list(configure(1, arrays, settings, _Nodes(clients)))
    check_messages(messages, config.algorithm["client"], config.training)
    return messages


def _aggregate(strategy: Strategy, names: Sequence[str], config: Config, clients: int, sends: Iterable[str]) -> None:
    """Let a strategy of Flower's aggregate replies of a small model: what they expect is known, and that they do."""
    generator = np.random.default_rng(0)

    def small() -> dict[str, np.ndarray]:
        return {name: generator.standard_normal(2).astype(np.float32) for name in names}

    messages = _configured(strategy, "train", small(), config, clients)
    replies = []
    for message in sorted(messages, key=lambda message: message.metadata.dst_node_id):
        metrics = MetricRecord({"num-examples": 10, "one": 1.0, **dict.fromkeys(sends, 1)})
        arrays = ArrayRecord({name: encode(array) for name, array in small().items()})
        replies.append(Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message))
    name, why = type(strategy).__name__, "it makes no model of them; raise clients or fraction, or change its arguments"
    try:
        with global_state(config.seed, "aggregate", 1):
            arrays_made, _ = strategy.aggregate_train(1, replies)
    except Exception as error:
        arrays_made, why = None, f"{type(error).__name__}: {error}"
    if arrays_made is None:
        raise UserError(f"algorithm.strategy: {name} can do nothing with the replies of {len(replies)} clients: {why}")
