"""What a NumPyClient works with: one client's data, model and generators for one message."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from flwr.app import RecordDict
from torch import Tensor, nn

from fedlayers.config.settings import Config
from fedlayers.core.federation import Examples, Federation
from fedlayers.core.layers import Layer
from metrics.base import Metric

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Workspace:
    """What a worker builds once and keeps: data, one resident model, its layers, the metrics."""

    config: Config
    federation: Federation
    module: nn.Module
    layers: tuple[Layer, ...]
    metrics: Mapping[str, Metric]
    device: torch.device
    augment: Augmentation | None
    initial_buffers: Mapping[str, Tensor]
    # The probe, if a metric uses one.
    probe: Examples | None


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

    @property
    def names(self) -> list[str]:
        """Names of the parameters, in the order in which they travel."""
        return [name for name, _ in self.workspace.module.named_parameters()]

    def tensors(self, parameters: list[np.ndarray]) -> dict[str, Tensor]:
        """Return the arrays of a message as named tensors on this client's device (on a CPU they share memory)."""
        device = self.workspace.device
        pairs = zip(self.names, parameters, strict=True)
        return {name: torch.from_numpy(array).to(device) for name, array in pairs}

    def data(self) -> dict[str, Examples]:
        """Return this client's examples by scope."""
        return self.workspace.federation.of(self.client)


Scalars = dict[str, Any]
