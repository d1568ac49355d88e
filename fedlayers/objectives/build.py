"""From the ``objective`` part of a configuration to the object: an objective, or any function of outputs and labels."""

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fedlayers.config.building import build_plugin, plugin_maker
from fedlayers.config.plugins import given_by_position
from fedlayers.core.errors import UserError
from fedlayers.objectives.objective import Objective

_WANTED = "an objective, or what takes outputs and labels and gives one loss for each example"


def build_objective(node: Mapping[str, Any]) -> Objective:
    """Return what a configuration says that clients minimise.

    Args:
        node: ``config.objective``: ``_target_`` (a class of objectives; another one whose objects are called with
            outputs and labels, such as torch's losses; or a function of outputs and labels) and its arguments.

    Raises:
        UserError: it cannot be built, or cannot be called; the sentence names the key.
    """
    if count := given_by_position("objective", node):
        return ForeignObjective(plugin_maker("objective", node, by_position=count), str(node["_target_"]))
    found = build_plugin("objective", node)
    if isinstance(found, Objective):
        return found
    if not callable(found):
        raise UserError(
            f"objective._target_ must be {_WANTED}, got {node['_target_']}, whose objects cannot be called; derive it "
            "from fedlayers.objectives.objective.Objective"
        )
    return ForeignObjective(found, str(node["_target_"]))


class ForeignObjective(Objective):
    """A loss that knows nothing of us: a module of torch's, or a function.

    Its unit and range are not known. Parameters that a module has stay as they are.

    Args:
        loss: maps outputs (n, C) and labels (n,) to one loss for each example, shape (n,).
        target: what messages call it.
    """

    unit = ""
    low, high = -math.inf, math.inf
    takes_label_sets = True  # as far as one can know
    reference = "of one's own"

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor], target: str) -> None:
        self._loss, self._target = loss, target
        self._copies: dict[tuple[torch.device, torch.dtype], Callable[[Tensor, Tensor], Tensor]] = {}

    @property
    def name(self) -> str:
        """What messages call it: its target."""
        return self._target

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return what it gives for a batch."""
        return self._like(outputs)(outputs, labels)

    def _like(self, outputs: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the loss with its own numbers, such as weights of classes, where the outputs are."""
        if not isinstance(self._loss, nn.Module):
            return self._loss
        key = (outputs.device, outputs.dtype)
        if key not in self._copies:
            with torch.inference_mode(False):
                self._copies[key] = copy.deepcopy(self._loss).to(*key).requires_grad_(False).eval()
        return self._copies[key]
