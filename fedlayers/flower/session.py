"""What a NumPyClient works with: one client's data, model and generators for one message."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from torch import Tensor, nn

from fedlayers.config.building import plugin_maker
from fedlayers.config.plugins import LEARNER
from fedlayers.config.schema.settings import Config
from fedlayers.core.cohorts.meeting import own_time
from fedlayers.core.errors import UserError
from fedlayers.core.federation import Examples, Federation
from fedlayers.core.layers import Layer
from fedlayers.core.plans.kinds import plan_of
from fedlayers.core.plans.plan import FederationPlan
from fedlayers.flower.adapter import records_of
from fedlayers.flower.arrays import decode
from fedlayers.flower.contents import ARRAYS, BUFFERS, CONFIG, PLAN, array_record
from fedlayers.flower.packing import told_plan
from fedlayers.objectives.objective import ClassCounts, Objective
from metrics.base import Metric
from metrics.resource_usage.work import Work

Augmentation = Callable[[Tensor, torch.Generator], Tensor]
Scalars = dict[str, Any]

# The record of a client's state that holds the model's arrays that are its own; its buffers are in BUFFERS.
MODEL = "model"
# What the optimizer of its training remembers, if that is carried from round to round.
OPTIMIZER = "optimizer"


@dataclass(frozen=True)
class Workspace:
    """What a worker builds once and keeps: data, one resident model, its layers, the metrics."""

    config: Config
    federation: Federation
    module: nn.Module
    layers: tuple[Layer, ...]
    metrics: Mapping[str, Metric]
    # As configured: without the class counts of a client.
    objective: Objective
    device: torch.device
    augment: Augmentation | None
    initial_buffers: Mapping[str, Tensor]
    # The probe, if a metric uses one.
    probe: Examples | None
    # Makes the weights that the run's seed draws; few clients ask for them.
    initial_weights: Callable[[], Mapping[str, Tensor]]

    @cached_property
    def plan(self) -> FederationPlan:
        """Which layers are shared in any round.

        Raises:
            UserError: ``plan`` names a layer that the model does not have, no layer, or all.
        """
        plan = self.config.plan
        if plan.rule:
            return FederationPlan.all()
        return plan_of(plan.name, plan.setting, self.layers, self.config.seed)

    def objective_of(self, client: int | None) -> Objective:
        """Return what a client minimises, given its training examples; None: given those of all clients together.

        Raises:
            UserError: the objective does not fit the data's classes.
        """

        def count(whose: str) -> Tensor:
            return self._all_counts if client is None or whose == "federation" else self.federation.class_counts(client)

        return self.objective.bound(ClassCounts(len(self.federation.classes), count))

    @cached_property
    def make_learner(self) -> Callable[[Any], Any]:
        """What makes the learner of a local training of its task, as ``learner`` says.

        Raises:
            UserError: there is no such learner, or it does not take the arguments given.
        """
        return plugin_maker(LEARNER, self.config.learner, by_position=1)

    @cached_property
    def module_cache(self) -> dict[Any, Any]:
        """What measuring found out about the module that holds whatever its weights are."""
        return {}

    @cached_property
    def _all_counts(self) -> Tensor:
        return self.federation.class_counts(None)


@dataclass(frozen=True)
class Session:
    """One message to one client.

    Attributes:
        workspace: what the worker holds.
        client: the client's index.
        round, last_round: this round and the run's last one.
        moment: ``after_local`` for training; ``start``, ``after_aggregate`` or ``final`` for evaluation.
        global_buffers: the buffers the server sent (empty for a model without).
        state: the client's personal state (``Context.state``): read it, and in training change it.
        content: the whole message, with whatever records its strategy added.
    """

    workspace: Workspace
    client: int
    round: int
    last_round: int
    moment: str
    global_buffers: Mapping[str, Tensor]
    state: RecordDict
    content: RecordDict = field(default_factory=RecordDict)

    @cached_property
    def names(self) -> list[str]:
        """Names of the model's parameters, in its order."""
        return [name for name, _ in self.workspace.module.named_parameters()]

    @cached_property
    def received(self) -> list[str]:
        """Names of the arrays of the model that came with the message, in the model's order.

        Raises:
            UserError: the message holds arrays under other names.
        """
        came = records_of(self.content, ArrayRecord).get(ARRAYS)
        names = self.names
        if came is None:
            return names
        strange = sorted(came.keys() - set(names))
        if strange:
            raise UserError(
                f"algorithm.strategy must send arrays of the model under their names, such as {names[0]!r}, got "
                f"{strange[0]!r}; send others in a record of their own"
            )
        return [name for name in names if name in came]

    @property
    def is_unseen(self) -> bool:
        """Whether this client never trains and is only evaluated."""
        return self.client in self.workspace.federation.unseen

    @cached_property
    def work(self) -> Work | None:
        """What times the parts of the client's work on this message; None if no metric asks for it."""
        metrics = self.workspace.metrics.values()
        due = [one for one in metrics if one.schedule.is_due(self.round, self.last_round, self.moment)]
        return Work(self.workspace.device, own_time) if any(one.of_messages for one in due) else None

    def part(self, name: str) -> AbstractContextManager[None]:
        """Time a block of code as a part of the client's work, if a metric asks for it."""
        return nullcontext() if self.work is None else self.work.part(name)

    @cached_property
    def told_plan(self) -> FederationPlan | None:
        """The plan that the message names, where plans change."""
        config = records_of(self.content, ConfigRecord).get(CONFIG)
        return None if config is None else told_plan(config, self.client, self.workspace.layers)

    @property
    def plan(self) -> FederationPlan:
        """The plan that holds for this client in this round."""
        return self.told_plan or self.workspace.plan

    @cached_property
    def sent(self) -> list[str]:
        """Names of the arrays that ``fit`` returns, in order, unless a client changes the list.

        They are those received, or where plans change those that the plan shares and does not withhold.
        """
        changed = self.told_plan
        return list(self.received) if changed is None else list(changed.sending(dict.fromkeys(self.names)))

    @property
    def settings(self) -> Scalars:
        """What the run and the strategy tell the client."""
        told = records_of(self.content, ConfigRecord)[CONFIG]
        return {key: value for key, value in told.items() if key not in (BUFFERS, PLAN)}

    def tensors(self, parameters: list[np.ndarray]) -> dict[str, Tensor]:
        """Return the arrays of a message as named tensors on this client's device (on a CPU they share memory)."""
        device = self.workspace.device
        pairs = zip(self.received, parameters, strict=True)
        return {name: torch.from_numpy(array).to(device, non_blocking=True) for name, array in pairs}

    def arrays(self, name: str) -> dict[str, Tensor]:
        """Return another record of arrays of the message, on this client's device; empty if none came."""
        return self._tensors(records_of(self.content, ArrayRecord).get(name))

    def stored(self, name: str) -> dict[str, Tensor]:
        """Return named tensors of the client's personal state, on its device; empty if it has none of that name."""
        return self._tensors(records_of(self.state, ArrayRecord).get(name))

    def store(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Put named tensors into the client's personal state, which counts once the round is committed."""
        self.state[name] = array_record(tensors)

    def own_weights(self) -> dict[str, Tensor]:
        """Return the arrays of the model that are the client's own and were not sent.

        They are those of its personal state, which training puts there, and before it first trained those that the
        seed draws, the same for all clients.

        Raises:
            UserError: with ``init`` nobody but the server knows what a client begins with.
        """
        received = set(self.received)
        wanted = [name for name in self.names if name not in received]
        own = self.stored(MODEL) if wanted else {}
        fresh = [name for name in wanted if name not in own]
        if fresh and self.workspace.config.init:
            raise UserError(
                f"init: algorithm.strategy must send {fresh[0]!r} to clients that have not trained yet, because they "
                "do not have the model that init names; send all arrays at first, or leave out init"
            )
        drawn = self.workspace.initial_weights() if fresh else {}
        return {name: own[name] if name in own else drawn[name].clone() for name in wanted}

    def data(self) -> dict[str, Examples]:
        """Return this client's examples by scope."""
        return dict(self._examples)

    @cached_property
    def _examples(self) -> dict[str, Examples]:
        return self.workspace.federation.of(self.client)

    def _tensors(self, record: ArrayRecord | None) -> dict[str, Tensor]:
        device = self.workspace.device
        return {key: torch.from_numpy(decode(array).copy()).to(device) for key, array in (record or {}).items()}
