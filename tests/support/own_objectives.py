"""Objectives as users write them: a class of ours, plain functions, and such as go wrong."""

import torch
from torch import Tensor

from fedlayers.objectives.objective import Objective


class Hinge(Objective):
    """Σ_c max(0, 1 + z_c − z_y)² over the other classes, times a scale."""

    reference = "own definition"

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        own = outputs.gather(1, labels[:, None])
        others = labels[:, None] != torch.arange(outputs.shape[1], device=outputs.device)
        return self.scale * ((1 + outputs - own).clamp(min=0).square() * others).sum(1)


def absolute(outputs: Tensor, labels: Tensor, power: float = 2.0) -> Tensor:
    """Return Σ_c |z_c − [c = y]|^p."""
    return (outputs - torch.eye(outputs.shape[1], device=outputs.device)[labels]).abs().pow(power).sum(1)


def scalar(outputs: Tensor, labels: Tensor) -> Tensor:
    return absolute(outputs, labels).mean()


def whole(outputs: Tensor, labels: Tensor) -> Tensor:
    return absolute(outputs, labels).round().long()


def nan(outputs: Tensor, labels: Tensor) -> Tensor:
    return absolute(outputs, labels) * float("nan")


def steep(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return losses that are numbers, with slopes that are none."""
    return absolute(outputs * 0, labels).sub(1).sqrt() * 0


def detached(outputs: Tensor, labels: Tensor) -> Tensor:
    return absolute(outputs, labels).detach()


class Later(Objective):
    """Goes wrong from its k-th call on."""

    def __init__(self, calls: int, mean: bool = False) -> None:
        self.left, self.is_mean = calls, mean

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        self.left -= len(labels) > 2  # the rehearsal's two examples do not count
        good = absolute(outputs, labels)
        if self.left >= 0:
            return good
        return good.mean() if self.is_mean else good * float("nan")
