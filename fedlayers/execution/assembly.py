"""What server and workers put together alike: data, model, layers and metrics, from the configuration alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from fedlayers.config.schema.settings import Config
from fedlayers.core.forward_order import forward_layers
from fedlayers.core.machine.devices import prepare_process, resolve_device
from fedlayers.core.weights import split_state
from fedlayers.data import load_federation
from fedlayers.data.augment import make_augmentation
from fedlayers.data.placement import placed
from fedlayers.execution.stand_alone_runs.alone import bind_stand_alone
from fedlayers.flower.session import Augmentation, Workspace
from fedlayers.measuring.build import build_metrics
from fedlayers.measuring.probe import probe_for
from fedlayers.models import build_model
from fedlayers.objectives.build import build_objective
from fedlayers.objectives.objective import Objective
from metrics.base import Metric


@dataclass(frozen=True)
class Parts:
    """What needs no data: a mistake in it is told at once."""

    config: Config
    device: torch.device
    augment: Augmentation | None
    metrics: Mapping[str, Metric]
    objective: Objective


def parts_of(config: Config) -> Parts:
    """Return what of a run needs no data, and prepare this process for its numbers.

    Raises:
        UserError: something cannot be built; the sentence names its key.
    """
    device = resolve_device(config.device)
    prepare_process(config.deterministic)
    augment = make_augmentation(config.training.augment)
    metrics = build_metrics(config.metrics)
    bind_stand_alone(metrics)
    return Parts(config, device, augment, metrics, build_objective(config.objective))


def workspace_of(parts: Parts) -> Workspace:
    """Return the data, the model, its layers and the probe beside those parts.

    Raises:
        UserError: data or model cannot be had, or do not fit together.
    """
    config, device = parts.config, parts.device
    federation = placed(load_federation(config), device)
    if parts.augment:
        parts.augment(federation.blank(2), torch.Generator().manual_seed(config.seed))

    def fresh() -> nn.Module:
        words = len(federation.vocabulary)
        return build_model(config.model, federation.shape, len(federation.classes), config.training_seed, words).to(
            device
        )

    module = fresh()
    _, buffers = split_state(module)
    return Workspace(
        config,
        federation,
        module,
        forward_layers(module, federation.blank(2, device)),
        parts.metrics,
        parts.objective,
        device,
        parts.augment,
        buffers,
        probe_for(parts.metrics, config, federation, module),
        cache(lambda: split_state(fresh())[0]),
    )


def assembled(config: Config) -> Workspace:
    """Return all that a worker needs, from a run's configuration."""
    return workspace_of(parts_of(config))
