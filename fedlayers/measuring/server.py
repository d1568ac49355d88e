"""The measuring half of the server: the global model by itself, and the metrics that compare clients."""

import copy
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import nn

from fedlayers.config.schema.settings import Config
from fedlayers.core.errors import one_line
from fedlayers.core.federation import Examples, Federation
from fedlayers.core.layers import Layer
from fedlayers.core.machine.allocation import available_cpus
from fedlayers.core.machine.devices import RAYS_NICENESS, give_way, threads
from fedlayers.core.plans.plan import FederationPlan
from fedlayers.core.records import Record, Resource, Row, addressed, missing
from fedlayers.core.seeding import derive
from fedlayers.core.weights import load_state, split_state
from fedlayers.data.probe import most_examples
from fedlayers.flower.client_contract import declared_client
from fedlayers.flower.client_models import given_models
from fedlayers.flower.global_model import GlobalModel
from fedlayers.flower.packing import Packing
from fedlayers.flower.replies import Replies
from fedlayers.flower.strategy_contract import Declared
from fedlayers.objectives.objective import Objective
from fedlayers.runs.metric_memory import MetricMemory
from metrics.base import ClientView, Metric, ServerView
from metrics.measure import Payload, measure_clients, measure_server
from metrics.parallel import ParallelMap


@dataclass
class ServerMeasuring:
    """Measures what the server knows at a round and moment.

    Attributes:
        tested: the examples that the global model is tested on.
        packing: which layers are shared when; where some are not, no model is whole on the server.
        strategy: what the strategy declares.
        objective: what is minimised, given the training examples of all clients together.
        module_cache: see :class:`metrics.base.ClientView`.
        concurrent: whether the server's test runs beside the clients, which then go first.
        parallel_map: the engine's way to let its workers compute a function of many items.
    """

    config: Config
    federation: Federation
    tested: Examples
    module: nn.Module
    layers: Sequence[Layer]
    packing: Packing
    metrics: Mapping[str, Metric]
    probe: Examples | None
    kept: MetricMemory
    device: torch.device
    strategy: Declared
    objective: Objective
    module_cache: dict[Any, Any]
    concurrent: bool
    parallel_map: ParallelMap

    def __post_init__(self) -> None:
        """Copy the module for tests that run beside what else looks at the global model."""
        # What was found earlier in a round, which is repeated as a whole where a run goes on: round, client -> cluster.
        self._clusters: tuple[int, Mapping[int, int]] = (-1, {})
        self._remembered: dict[Any, Any] = {}
        self._tested = self.module
        if self.concurrent:
            with suppress(Exception):  # some cannot be copied: then others wait
                self._tested = copy.deepcopy(self.module)

    def test(
        self, model: GlobalModel, server_round: int, moment: str, plan: FederationPlan, known: Collection[str] = ()
    ) -> list[Row]:
        """Return what is measured on the global model: on the server's test set, on the probe, of its weights.

        Args:
            model: the global model.
            server_round: the round.
            moment: the moment.
            plan: of the round, for what is asked here may go on while the next one changes it.
            known: metrics that are left out.
        """
        fixed = self._of_network() if moment == "start" else []
        chosen = {name: one for name, one in self._on_server(server_round, moment).items() if name not in known}
        if not chosen:
            return addressed(fixed, owner="server", model="global", round=server_round, moment=moment)
        if not plan.is_whole:
            fixed += self._untested(chosen, plan)
            return addressed(fixed, owner="server", model="global", round=server_round, moment=moment)
        if self.concurrent:
            give_way(0 if self.config.engine.address is None else RAYS_NICENESS)
        began = time.perf_counter()
        with threads(self.config.server_threads):
            rows, _ = measure_clients(
                chosen, self.view(model, server_round, moment, self._tested), self.config.rounds, self._on_error
            )
        rows.append(Resource("server_test_s", time.perf_counter() - began, "s"))
        return addressed([*fixed, *rows], owner="server", model="global", round=server_round, moment=moment)

    def compare(
        self, phase: Replies, received: GlobalModel, model: GlobalModel, server_round: int, moment: str
    ) -> Payload:
        """Add to a phase what the metrics' server halves find in its replies, and return what they want to keep.

        Args:
            phase: the replies.
            received: the global model that the clients were sent.
            model: the global model now.
            server_round: the round.
            moment: the moment.
        """
        due = self.due(server_round, moment)
        if not due or not phase.messages:
            return {}
        given = given_models(self.strategy, phase, received, model)
        globals_now = {"received": received, "aggregated": model} if moment == "after_local" else {"received": model}
        globals_now |= {name: replace(received, weights=dict(own)) for name, own in given.models.items()}
        has_global_model = self.strategy.has_global_model
        plan = self.packing.plan_of(server_round)
        sizes, planted = self.federation.splits["client_train"].sizes, self.federation.planted
        view = ServerView(
            layers=self.layers,
            clients=phase.clients,
            weights=phase.weights() if moment == "after_local" else {},
            before=received.tensors(),
            after=model.tensors(),
            examples={client: int(sizes[client]) for client in phase.clients},
            payloads={},
            seed=derive(self.config.seed, f"measure/{moment}", server_round),
            round=server_round,
            moment=moment,
            global_views={
                name: partial(self.view, one, server_round, moment)
                for name, one in globals_now.items()
                if has_global_model and plan.is_whole and len(one.weights) == len(model.weights)
            },
            earlier=partial(self.kept.read, moment=moment, before=server_round),
            parallel_map=self.parallel_map,
            planted={client: planted[client] for client in phase.clients if planted},
            clusters=self._clusters[1] if (server_round, moment) == (self._clusters[0], "after_aggregate") else {},
            classes=self.federation.classes,
            mean_weights={} if self.config.weighting == "examples" else dict.fromkeys(phase.clients, 1.0),
            has_global_model=has_global_model,
            plan=plan,
            plans=self.packing.plans(server_round, phase.clients),
            given=given.names,
            models=given.tensors(),
            shared=phase.shared,
            remembered=self._remembered,
        )
        rows, kept = measure_server(due, view, phase.payloads, self.config.rounds, self._on_error)
        if moment == "after_local":
            self._clusters = server_round, _clusters(rows)
            compared = declared_client(self.config.algorithm["client"]).compared
            owned = groupby(rows, lambda row: row.owner == "client")
            rows = [row for own, part in owned for row in addressed(part, **({"model": compared} if own else {}))]
        phase.add(addressed(rows, round=server_round, moment=moment))
        return kept

    def due(self, server_round: int, moment: str) -> dict[str, Metric]:
        """Return the metrics whose server halves compare the clients at a round and moment."""
        if self.strategy.pooled and moment == "after_local":
            return {}
        return {
            name: metric
            for name, metric in self.metrics.items()
            if metric.compares_clients and metric.schedule.is_due(server_round, self.config.rounds, moment)
        }

    def nobody_waits(self, server_round: int, moment: str) -> bool:
        """Say whether what the server's test finds may come while the next clients train.

        The strategy does not ask for it; its metrics draw nothing, as the round loop uses the same generators; and all
        work of the server takes one thread, as their number is the process's.
        """
        due = self._on_server(server_round, moment).values()
        alone = self._tested is not self.module and self.config.server_threads == 1 and moment != "final"
        asked_for = any(facts.name in self.strategy.observes for metric in due for facts in metric.facts)
        return alone and all(metric.repeats for metric in due) and not asked_for

    def repeats(self, server_round: int) -> bool:
        """Say whether all that is due at ``final`` is known where it was measured after a round's aggregation."""
        last = self.config.rounds
        due = [metric for metric in self.metrics.values() if metric.schedule.is_due(last, last, "final")]
        return all(metric.repeats and metric.schedule.is_due(server_round, last, "after_aggregate") for metric in due)

    def compared(self, server_round: int, moment: str) -> set[str]:
        """Return the quantities of metrics that compare the clients at a round and moment, and these metrics' names."""
        due = self.due(server_round, moment)
        return {*due, *(facts.name for metric in due.values() for facts in metric.facts)}

    def not_due(self, server_round: int, moment: str) -> set[str]:
        """Return the quantities that no metric measures at a round and moment, and the names of metrics that do not."""
        last = self.config.rounds
        due = {name for name, metric in self.metrics.items() if metric.schedule.is_due(server_round, last, moment)}
        quantities = {name: {name, *(facts.name for facts in metric.facts)} for name, metric in self.metrics.items()}
        return set().union(*quantities.values()) - set().union(*(quantities[name] for name in due))

    def tests(self, server_round: int, moment: str) -> bool:
        """Say whether the server's test of the global model is due at a round and moment, if a metric makes it."""
        schedule = self.config.server_test.schedule()
        return moment != "after_aggregate" or schedule.is_due_round(server_round, self.config.rounds)

    def shown(self, quantities: Collection[str], server_round: int, moment: str) -> set[str]:
        """Return those quantities that are measured at a round and moment however long the run is."""
        away = {
            facts.name
            for metric in self.metrics.values()
            for facts in metric.facts
            if not metric.schedule.is_due(server_round, sys.maxsize, moment)
        }
        return set(quantities) - away

    def remarks(self, model: GlobalModel) -> list[str]:
        """Return what the metrics have to say about the run before it starts, each sentence once."""
        # Which layers there are matters here, not their weights: those of personal layers are as the seed drew them.
        drawn, buffers = split_state(self.module)
        weights = {name: model.weights.get(name, tensor.cpu().numpy()) for name, tensor in drawn.items()}
        view = self.view(GlobalModel(weights, {**buffers, **model.buffers}), 0, "start")
        return list(dict.fromkeys(remark for metric in self.metrics.values() for remark in metric.remarks(view)))

    def view(self, model: GlobalModel, server_round: int, moment: str, module: nn.Module | None = None) -> ClientView:
        """Return a view of the global model; a module, by default the resident one, holds it until the next call."""
        module = module or self.module
        load_state(module, model.tensors(), model.buffers)
        module.eval()
        weights = {name: tensor.to(self.device) for name, tensor in model.tensors().items()}
        return ClientView(
            layers=self.layers,
            module=module,
            parameters=weights,
            buffers=model.buffers,
            reference=weights,
            data={"server_test": self.tested},
            classes=self.federation.classes,
            label_groups=self.federation.label_groups,
            seed=derive(self.config.seed, f"measure/{moment}", server_round),
            round=server_round,
            moment=moment,
            device=self.device,
            batches_at_once=min(available_cpus(), 4) if self.device.type == "cpu" else 1,
            payload_limit_bytes=self.config.payload_limit_bytes,
            probe=self.probe,
            run_seed=self.config.seed,
            objective=self.objective,
            probe_limit=most_examples(self.config.probe, self.federation),
            module_cache=self.module_cache,
        )

    def _on_server(self, server_round: int, moment: str) -> dict[str, Metric]:
        """Return the metrics that are due on the global model; its test may be due in fewer rounds than theirs."""
        last, tests = self.config.rounds, self.tests(server_round, moment)
        return {
            name: metric
            for name, metric in self.metrics.items()
            if metric.on_server and metric.schedule.is_due(server_round, last, moment) and (metric.uses_probe or tests)
        }

    def _untested(self, metrics: Mapping[str, Metric], plan: FederationPlan) -> list[Row]:
        """Return a missing value for all that is due on the server, which has no whole model."""
        return [
            missing(facts.name, plan.why_no_model, scope="probe" if metric.uses_probe else "server_test")
            for metric in metrics.values()
            for facts in metric.facts
        ]

    def _of_network(self) -> list[Row]:
        """Return what metrics say of the network whatever its weights; one that fails is missing."""
        rows: list[Row] = []
        for name, metric in self.metrics.items():
            try:
                rows += metric.network(self.module.eval(), self.layers, self.federation.blank(1, self.device))
            except Exception as error:
                if self._on_error == "raise":
                    raise
                rows.append(missing(name, f"{type(error).__name__}: {one_line(error)}"))
        return rows

    @property
    def _on_error(self) -> str:
        return str(self.config.metrics.get("on_error", "record"))


def _clusters(rows: Sequence[Row]) -> dict[int, int]:
    """Return client -> its cluster, among what was measured."""
    found = (row for row in rows if isinstance(row, Record) and (row.metric, row.status) == ("cluster", "ok"))
    return {row.client: int(row.value) for row in found if row.client is not None}
