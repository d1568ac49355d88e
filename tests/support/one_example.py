"""A client with one example and a model of three weights, whose steps are done by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from flwr.app import RecordDict
from torch import nn

from fedlayers.config.compose import compose_config
from fedlayers.core.federation import Examples
from fedlayers.core.layers import layers_of
from fedlayers.flower.session import Session, Workspace
from fedlayers.objectives.cross_entropy import CROSS_ENTROPY


def session_on_three_weights(content: RecordDict, state: RecordDict, *words: str) -> Session:
    """Return a session with one example (x = 3, class 1) and the model w x, w three numbers."""
    return session_on(nn.Linear(1, 3, bias=False), content, state, *words)


def session_on(module: nn.Module, content: RecordDict, state: RecordDict, *words: str) -> Session:
    """Return a session with one example (x = 3, class 1 of 3, of which it is told to have 1, 4 and 2) and a model."""
    one = Examples(
        torch.tensor([[3.0]]), torch.tensor([1]), torch.tensor([0]), torch.tensor([1.0]), torch.tensor([0.0])
    )
    federation: Any = SimpleNamespace(
        unseen=(),
        label_groups=(),
        has_label_sets=False,
        classes=("a", "b", "c"),
        of=lambda _: {"client_train": one},
        class_counts=lambda _: torch.tensor([1, 4, 2]),
    )
    usual = ["metrics=[]", "training.lr=0.1", "training.momentum=0", "training.steps=2", "device=cpu", "clients=1"]
    given = {word.partition("=")[0] for word in words}
    config = compose_config([*(word for word in usual if word.partition("=")[0] not in given), *words])
    layers = tuple(layers_of(module))
    workspace = Workspace(
        config, federation, module, layers, {}, CROSS_ENTROPY, torch.device("cpu"), None, {}, None, dict
    )
    return Session(workspace, 0, 1, 1, "after_local", {}, state, content)


def gradient(w: np.ndarray) -> np.ndarray:
    """Return the gradient of its loss at three weights."""
    softmax = np.exp(3 * w) / np.exp(3 * w).sum()
    return np.asarray(3 * (softmax - [0, 1, 0]))
