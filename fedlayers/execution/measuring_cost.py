"""How long clients will measure: how often each metric is due, times what it takes on one of them."""

import time
from collections.abc import Callable
from dataclasses import replace

import torch

from fedlayers.config.schema.settings import Config
from fedlayers.core.federation import Examples
from fedlayers.core.forward_order import left_alone
from fedlayers.core.layers import as_written
from fedlayers.core.seeding import derive
from fedlayers.flower.session import Workspace
from metrics.base import ClientView, Metric

# Forward passes over a client's examples that a metric of each class takes at least.
PASSES = {"cheap": 0, "pass": 1, "heavy": 10}
# More than a metric takes on a small client: where even this makes no difference, none is tried.
SLOW_S = 1.0
# The most examples of a split, or of the probe, on which a metric is tried.
TRIED_ON = 128

Timed = Callable[[Metric, Workspace], float]


def measuring_seconds(
    config: Config, workspace: Workspace, example_s: float, limit_s: float, timed: Timed
) -> dict[str, float]:
    """Return a rough estimate of how long each metric will measure in a run, on one core.

    Metrics without passes over data cost nothing. Of the others a lower bound follows from their cost class; where the
    bounds leave open whether they reach the limit, the metrics are tried on one client, cheapest class first.

    Args:
        config: the run's configuration.
        workspace: its data, model and metrics.
        example_s: how long a forward pass takes, seconds an example.
        limit_s: more than this need not be known.
        timed: how long a metric takes on one client, in seconds.
    """
    sizes = workspace.federation.splits["client_train"].sizes
    bounds: dict[str, float] = {}
    often: dict[str, int] = {}
    for name, metric in workspace.metrics.items():
        passes = max((PASSES[facts.cost] for facts in metric.facts), default=0)
        if passes:
            bounds[name], often[name] = passes * example_s * float(sizes.mean()), times_due(config, workspace, metric)
    known = {name: bounds[name] * often[name] for name in bounds}
    at_most = sum(known.values()) + SLOW_S * sum(often.values())
    for name in sorted(bounds, key=lambda name: bounds[name]):
        if sum(known.values()) >= limit_s or at_most < limit_s:
            break
        known[name] = max(timed(workspace.metrics[name], workspace), bounds[name]) * often[name]
    return known


def cheaper(name: str, metric: Metric, last_round: int) -> str:
    """Return the settings by which a metric measures less often, "" for none."""
    schedule, rounds = metric.schedule, range(1, last_round + 1)
    due = {moment: sum(schedule.is_due(r, last_round, moment) for r in rounds) for moment in schedule.moments}
    once = metric.per_model and due.get("after_aggregate", 0) > 0
    words = [
        f"metrics.{name}.moments=[after_aggregate], the global model alone" if once and due.get("after_local") else "",
        f"metrics.{name}.rounds=[last]" if max(due.values(), default=0) > 1 else "",
    ]
    return " or ".join(filter(None, words))


def times_due(config: Config, workspace: Workspace, metric: Metric) -> int:
    """Return on how many clients' models a metric is due, all rounds and moments together."""
    everyone = len(workspace.federation.seen)
    surveyed, sampled = config.surveyed_clients or everyone, max(1, int(everyone * config.fraction))
    rounds = range(1, config.rounds + 1)
    local, together = (
        sum(metric.schedule.is_due(r, config.rounds, moment) for r in rounds)
        for moment in ("after_local", "after_aggregate")
    )
    ends = sum(metric.schedule.is_due(config.rounds, config.rounds, moment) for moment in ("start", "final"))
    if metric.per_model:
        # The global model of a round is one, whoever has it.
        return local * sampled + together + ends
    return (local + together) * sampled + ends * surveyed


def client_seconds(metric: Metric, workspace: Workspace) -> float:
    """Return how long a metric takes on the middle one of the clients by size, in seconds; none if it fails."""
    federation, module = workspace.federation, workspace.module
    sizes = federation.splits["client_train"].sizes
    data = federation.of(int(sizes.argsort()[len(sizes) // 2]))
    parameters = {name: tensor.detach() for name, tensor in module.named_parameters()}
    view = ClientView(
        layers=workspace.layers,
        module=module,
        parameters=parameters,
        buffers=dict(module.named_buffers()),
        reference=parameters,
        data={scope: _first(examples) for scope, examples in data.items()},
        classes=federation.classes,
        label_groups=federation.label_groups,
        seed=derive(workspace.config.seed, "try out"),
        round=1,
        moment="after_local",
        device=workspace.device,
        probe=None if workspace.probe is None else _first(workspace.probe),
    )
    with left_alone(module), as_written(module):
        module.eval()
        try:
            seconds = _timed(metric, view)
            # The first time imports what it needs.
            if seconds < SLOW_S:
                seconds = min(seconds, _timed(metric, replace(view, cache={})))
        except Exception:  # the run says why
            return 0.0
    whole = workspace.probe if metric.uses_probe else data.get("client_train")
    return seconds * max(1.0, len(whole or ()) / TRIED_ON)


def _timed(metric: Metric, view: ClientView) -> float:
    # Of one core, whoever else uses it.
    clock = time.process_time if view.device.type == "cpu" else time.perf_counter
    began = clock()
    metric.client(view)
    return clock() - began


def _first(examples: Examples) -> Examples:
    return examples.take(torch.arange(min(TRIED_ON, len(examples))))
