"""Builds everything a run needs before its first round, so that a mistake costs seconds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.app import RecordDict
from flwr.serverapp.strategy import Strategy
from torch import nn

from fedlayers.config.building import build_plugin, located
from fedlayers.config.plugins import STRATEGY, check_plugins, decided_above
from fedlayers.config.schema.plan import Plan
from fedlayers.config.schema.settings import Config
from fedlayers.config.stock_strategies import DECIDED, check_stock_among, is_stock
from fedlayers.core.checks import check
from fedlayers.core.federation import Examples, Federation
from fedlayers.core.layers import Layer
from fedlayers.core.plans.plan import FederationPlan
from fedlayers.core.plans.rule import Constant, PlanRule
from fedlayers.core.schedule import Schedule, check_due
from fedlayers.core.weights import split_state
from fedlayers.data.server_examples import server_examples
from fedlayers.execution.assembly import assembled, parts_of, workspace_of
from fedlayers.execution.idle_settings import without_effect
from fedlayers.execution.rehearsal import (
    check_observed,
    check_observed_in,
    check_plan,
    check_strategy,
    reads_plan,
    rehearse,
)
from fedlayers.export.exporter import exporters
from fedlayers.export.trackers.outlet import outlets
from fedlayers.flower.client_contract import declared_client
from fedlayers.flower.client_plugin import try_client, try_in_run
from fedlayers.flower.clientapp import CohortApp, client_app
from fedlayers.flower.packing import Packing
from fedlayers.flower.session import Session, Workspace
from fedlayers.flower.strategy_contract import check_declared, declared
from fedlayers.measuring.build import build_metrics
from fedlayers.measuring.label_sets import check_label_sets
from fedlayers.measuring.trial import Trial
from fedlayers.objectives.build import build_objective
from metrics.base import Metric

# What check_parts found to be right, in words.
_checked: set[str] = set()


@dataclass(frozen=True)
class Built:
    """A run's workspace and what the server has beside it."""

    workspace: Workspace
    strategy: Strategy
    # Which plan holds when, and what of the model travels by it.
    packing: Packing
    # What the server tests the global model on.
    tested: Examples
    # What is strange about the model or never due, a sentence each.
    notes: tuple[str, ...]

    @property
    def federation(self) -> Federation:
        """The run's data."""
        return self.workspace.federation

    @property
    def module(self) -> nn.Module:
        """The model."""
        return self.workspace.module

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The model's layers, in order."""
        return self.workspace.layers

    @property
    def plan(self) -> FederationPlan:
        """Which layers are shared in any round."""
        return self.workspace.plan

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics by name."""
        return self.workspace.metrics

    @property
    def probe(self) -> Examples | None:
        """The probe, if a metric uses one."""
        return self.workspace.probe

    @property
    def device(self) -> torch.device:
        """Where the server computes."""
        return self.workspace.device

    def client_app(self, config: Config) -> CohortApp:
        """Return the ClientApp, its device settled here so that all workers use the same kind."""
        return client_app(replace(config, device=self.device.type), assembled, self.federation.digest)


def build(config: Config) -> Built:
    """Build data, model, strategy and metrics.

    Raises:
        UserError: something in the configuration cannot be built; the message names the key.
    """
    check_parts(config)
    parts = parts_of(config)
    strategy = build_strategy(config)
    _check_data_dir(config.data_dir)
    workspace = workspace_of(parts)
    federation, layers = workspace.federation, workspace.layers
    check_label_sets(config, federation, workspace.objective)
    declared(strategy).know_layers(workspace.plan.shared(layers))
    clients = len(federation.seen)
    check_strategy(strategy, clients)
    most = f"at most {clients}, the number of clients" + (" that train" if federation.unseen else "")
    check((config.surveyed_clients or 1) <= clients, "surveyed_clients", most, config.surveyed_clients)
    tested = server_examples(config, federation)
    rule = Constant(workspace.plan) if not config.plan.rule else build_rule(config)
    rule.begin(layers, federation.num_clients, config.seed)
    check_observed_in(rule, parts.metrics)
    for key, looker in (("algorithm.strategy", declared(strategy)), ("plan.rule", rule)):
        client = declared_client(config.algorithm["client"])
        check_observed(key, looker, client, parts.metrics, type(declared(strategy)))
    check_stock_among(config.algorithm, max(1, int(config.fraction * clients)))
    first = Session(workspace, 0, 1, config.rounds, "after_local", workspace.initial_buffers, RecordDict())
    try_in_run(config.algorithm["client"], first)
    _rehearse(config, workspace)
    trial = Trial(federation, workspace.module, layers, workspace.device, config.seed, workspace.objective_of)
    trial.training()
    told = trial.learner(config.learner)
    for metric in workspace.metrics.values():
        metric.check_model(workspace.module)
    # Elsewhere a metric that cannot measure this model is missing in the run, with the reason.
    if config.metrics.get("on_error") == "raise":
        trial.metrics(workspace.metrics, workspace.probe)
    sizes = federation.splits["client_train"].sizes[federation.seen]
    sizes = sizes.sum(keepdims=True) if declared(strategy).pooled else np.unique(sizes)
    lengths = [config.training.length(int(size)) for size in sizes if size]
    idle = without_effect(config, workspace.metrics, lengths, clients)
    packing = Packing(rule, federation.num_clients)
    return Built(workspace, strategy, packing, tested, (*trial.remarks(), *told, *idle))


def check_parts(config: Config) -> None:
    """Check what needs no data, as :func:`build` will: plug-ins, strategy, metrics and when they are due.

    Raises:
        UserError: naming the dotted key and what is allowed.
    """
    parts: dict[str, tuple[Callable[[Config], object], Any]] = {
        "strategy": (
            _try_strategy,
            (config.algorithm, config.fraction, config.weighting, config.training.lr, config.plan),
        ),
        "metrics": (_build_metrics, (config.metrics, config.rounds, config.snapshots, config.server_test)),
    }
    check_plugins(config)
    try_client(config.algorithm["client"])
    build_objective(config.objective)
    exporters(config.export)
    outlets(config.tracking)
    for name, (part, content) in parts.items():
        # The runs of a sweep share most of their parts.
        if (seen := f"{name}: {content}") not in _checked:
            part(config)
            _checked.add(seen)


def without_unread_plan(config: Config) -> Config:
    """Return the configuration of a run of a sweep, without the plan if that is of other runs, whose strategy reads it.

    Raises:
        UserError: the strategy cannot be built.
    """
    is_read = config.plan.name == "all" or reads_plan(build_strategy(config))
    return config if is_read else replace(config, plan=Plan())


def _try_strategy(config: Config) -> None:
    check_plan(build_strategy(config), declared_client(config.algorithm["client"]), config.plan)
    if config.plan.rule:
        build_rule(config)


def build_rule(config: Config) -> PlanRule:
    """Return the rule of a plan that changes.

    Raises:
        UserError: it cannot be built, or is none.
    """
    wanted = "a subclass of fedlayers.core.plans.rule.PlanRule"
    rule: PlanRule = build_plugin("plan.rule", config.plan.rule, PlanRule, wanted)
    return rule


def _build_metrics(config: Config) -> None:
    _check_due(config, build_metrics(config.metrics))


def _check_due(config: Config, metrics: Mapping[str, Metric]) -> None:
    """Refuse a metric or snapshots that would never be due."""
    for name, metric in metrics.items():
        check_due(metric.schedule, config.rounds, f"metrics.{name}")
    if config.snapshots.rounds:
        check_due(Schedule(config.snapshots.rounds, ["after_aggregate"]), config.rounds, "snapshots")
    if config.server_test.rounds:
        check_due(config.server_test.schedule(), config.rounds, "server_test")


def build_strategy(config: Config) -> Strategy:
    """Return the strategy, with sampling and weighting filled in where its constructor knows them.

    Flower's default of at least two nodes would make a single client wait for ever: one is enough unless the
    configuration says otherwise.

    Raises:
        UserError: the strategy cannot be built, or is none.
    """
    strategy = _strategy(STRATEGY, config.algorithm["strategy"], config)
    check_declared(strategy)
    return strategy


def _strategy(key: str, node: Any, config: Config) -> Strategy:
    """Return a strategy with what the run decides, and in it the one that it wraps, if it does."""
    inner = node.get("strategy") if isinstance(node, Mapping) else None
    wrapped = {"strategy": _strategy(f"{key}.strategy", inner, config)} if isinstance(inner, Mapping) else {}
    own = {name: value for name, value in node.items() if name not in wrapped} if wrapped else node
    filled_in = {**_filled_in(key, own, config), **wrapped}
    above = decided_above(config.algorithm) if key == STRATEGY else {}
    wanted = "a subclass of flwr.serverapp.strategy.Strategy"
    strategy: Strategy = build_plugin(key, own, Strategy, wanted, filled_in=filled_in, above=above)
    return strategy


def _filled_in(key: str, node: Any, config: Config) -> dict[str, Any]:
    """Return the arguments of a strategy that the run decides."""
    filled: dict[str, Any] = {name: getattr(config, decided_by) for name, decided_by in DECIDED.items()}
    filled |= dict.fromkeys(("min_train_nodes", "min_evaluate_nodes", "min_available_nodes"), 1)
    filled["weighted_by_key"] = "num-examples" if config.weighting == "examples" else "one"
    if is_stock(located(key, node)):
        # Flower's strategies take it for granted that clients train with it, and do not tell them.
        filled["client_learning_rate"] = config.training.lr
        for name in ("client_learning_rate", "eta_l"):
            value, why = node.get(name, config.training.lr), "the strategy does not tell its clients; set training.lr"
            check(value == config.training.lr, f"{key}.{name}", f"training.lr, {config.training.lr}", value, why)
    return filled


def _rehearse(config: Config, workspace: Workspace) -> None:
    """Try out other strategies of the same kind, which may change while they are tried."""

    def make() -> Strategy:
        strategy = build_strategy(config)
        declared(strategy).know_layers(plan.shared(workspace.layers))
        return strategy

    plan = workspace.plan
    weights = {n: tensor.cpu().numpy() for n, tensor in plan.travelling(split_state(workspace.module)[0]).items()}
    rehearse(make, weights, config, len(workspace.federation.seen))


def _check_data_dir(data_dir: str | None) -> None:
    exists = data_dir is None or Path(data_dir).is_dir()
    check(exists, "data_dir", "a folder that exists", data_dir, "make it, or leave data_dir out for the default")
