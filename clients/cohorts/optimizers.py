"""Optimizers of stacked weights: elementwise, so that no client's step depends on another's."""

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from clients.optimizers import CLIP_EPSILON
from fedlayers.config.schema.training import Training

# Of Adam: what torch takes by default, as for single clients.
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


# What optimizers of single clients remember: of each client, of each weight, tensors by name.
Kept = Sequence[Sequence[Mapping[str, Tensor]]]


class StackedOptimizer(Protocol):
    """Changes the weights of some of K clients in place."""

    def step(self, gradients: Sequence[Tensor], rates: Sequence[float], clients: slice) -> None:
        """Take a step along the gradients (n, …) of some of the clients.

        Args:
            gradients: in the order of the weights.
            rates: these clients' learning rates.
            clients: which they are.
        """
        ...

    def state_of(self, client: int) -> list[dict[str, Tensor]]:
        """Return what the optimizer of one client would remember of each weight."""
        ...


def stacked_optimizer(training: Training, weights: Sequence[Tensor], kept: Kept) -> StackedOptimizer:
    """Return what :func:`clients.optimizers.make_optimizer` returns for one client, for weights (K, …).

    Args:
        training: see there.
        weights: those of all clients.
        kept: what the clients' own optimizers remember.
    """
    if training.optimizer == "sgd":
        return StackedSGD(weights, kept, training.momentum, training.weight_decay)
    return StackedAdam(weights, kept, training.weight_decay, decoupled=training.optimizer == "adamw")


class StackedSGD:
    """See :class:`clients.optimizers.SGD`; weights have shape (K, …)."""

    def __init__(self, weights: Sequence[Tensor], kept: Kept, momentum: float, weight_decay: float) -> None:
        self.weights = list(weights)
        self.momentum = momentum
        self.weight_decay = weight_decay
        # Fresh velocities are written by the first step, whatever stands in them.
        unknown = not any(any(own) for own in kept)
        self.is_fresh = [unknown] * len(kept)
        empty = [torch.empty_like(weight) for weight in weights] if unknown and momentum else []
        self.velocity = empty or (_stacked(weights, kept, "momentum") if momentum else [])

    def step(self, gradients: Sequence[Tensor], rates: Sequence[float], clients: slice) -> None:
        """Change the weights of some clients by one step."""
        weights = [weight[clients] for weight in self.weights]
        direction = list(gradients)
        if self.weight_decay:
            direction = list(torch._foreach_add(direction, weights, alpha=self.weight_decay))
        if self.momentum:
            direction = self._accelerated(direction, clients)
        if len(set(rates)) == 1:
            torch._foreach_add_(weights, direction, alpha=-rates[0])
        else:
            torch._foreach_sub_(weights, [each_times(tensor, rates) for tensor in direction])

    def _accelerated(self, direction: list[Tensor], clients: slice) -> list[Tensor]:
        velocity = [tensor[clients] for tensor in self.velocity]
        if self.is_fresh[clients.start]:
            self.is_fresh[clients] = [False] * len(direction[0])
            torch._foreach_copy_(velocity, direction)
            return velocity
        torch._foreach_mul_(velocity, self.momentum)
        torch._foreach_add_(velocity, direction)
        return velocity

    def state_of(self, client: int) -> list[dict[str, Tensor]]:
        """Return each weight's ``momentum``."""
        return [{"momentum": own[client].clone()} for own in self.velocity] or [{} for _ in self.weights]


class StackedAdam:
    """See :class:`clients.optimizers.Adam`; weights have shape (K, …)."""

    def __init__(self, weights: Sequence[Tensor], kept: Kept, weight_decay: float, *, decoupled: bool) -> None:
        self.weights = list(weights)
        self.weight_decay = weight_decay
        self.decoupled = decoupled
        self.means = _stacked(weights, kept, "exp_avg")
        self.squares = _stacked(weights, kept, "exp_avg_sq")
        # Of each weight, how many steps of each client are behind it.
        self.steps = [
            [int(own[place].get("step", torch.zeros(()))) for own in kept] for place in range(len(self.weights))
        ]

    def step(self, gradients: Sequence[Tensor], rates: Sequence[float], clients: slice) -> None:
        """Change the weights of some clients by one step."""
        weights, means, squares = (
            [tensor[clients] for tensor in tensors] for tensors in (self.weights, self.means, self.squares)
        )
        direction = list(gradients)
        if self.weight_decay and self.decoupled:
            shrunk = [1 - rate * self.weight_decay for rate in rates]
            torch._foreach_copy_(weights, [each_times(weight, shrunk) for weight in weights])
        elif self.weight_decay:
            direction = list(torch._foreach_add(direction, weights, alpha=self.weight_decay))
        torch._foreach_lerp_(means, direction, 1 - _BETA1)
        torch._foreach_mul_(squares, _BETA2)
        torch._foreach_addcmul_(squares, direction, direction, 1 - _BETA2)
        lengths = list(torch._foreach_sqrt(squares))
        for place, (weight, mean, length) in enumerate(zip(weights, means, lengths, strict=True)):
            self.steps[place][clients] = taken = [number + 1 for number in self.steps[place][clients]]
            corrected = each_times(length, [1 / math.sqrt(1 - _BETA2**number) for number in taken])
            sizes = [rate / (1 - _BETA1**number) for rate, number in zip(rates, taken, strict=True)]
            weight.sub_(each_times(mean / corrected.add_(_EPSILON), sizes))

    def state_of(self, client: int) -> list[dict[str, Tensor]]:
        """Return each weight's moments, ``exp_avg`` and ``exp_avg_sq``, and ``step``, how many steps they are of."""
        return [
            {
                "step": torch.tensor(float(steps[client]), device=mean.device),
                "exp_avg": mean[client].clone(),
                "exp_avg_sq": square[client].clone(),
            }
            for steps, mean, square in zip(self.steps, self.means, self.squares, strict=True)
        ]


def each_times(tensor: Tensor, factors: Sequence[float]) -> Tensor:
    """Return a tensor (n, …), the part of each client times a factor of its own."""
    if len(set(factors)) == 1:
        return tensor * factors[0]
    return tensor * torch.tensor(factors, dtype=tensor.dtype, device=tensor.device).view(-1, *[1] * (tensor.dim() - 1))


def _stacked(weights: Sequence[Tensor], kept: Kept, what: str) -> list[Tensor]:
    """Return what is remembered of each weight, shape (K, …), 0 where there is nothing."""
    stacked = [torch.zeros_like(weight) for weight in weights]
    for client, own in enumerate(kept):
        for tensor, remembered in zip(stacked, own, strict=True):
            if what in remembered:
                tensor[client] = remembered[what]
    return stacked


def clipped_each(gradients: Sequence[Tensor], clip_norm: float) -> list[Tensor]:
    """Return the gradients (n, …) of n clients, each client's clipped as :func:`clients.optimizers.clipped` does."""
    rows = [gradient.reshape(len(gradient), -1) for gradient in gradients]
    norms = torch.stack([torch.linalg.vector_norm(row, dim=1, dtype=torch.float64) for row in rows])
    factors = (clip_norm / (torch.linalg.vector_norm(norms, dim=0) + CLIP_EPSILON)).clamp(max=1.0)
    return [gradient * factors.to(gradient.dtype).view(-1, *[1] * (gradient.dim() - 1)) for gradient in gradients]
