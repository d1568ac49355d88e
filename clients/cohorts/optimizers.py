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


# One number for each client.
Factors = Sequence[float] | Tensor


class StackedOptimizer(Protocol):
    """Changes the weights of some of K clients in place."""

    @property
    def rows(self) -> int:
        """How many numbers of each client :meth:`factors` returns."""
        ...

    def factors(self, rates: Sequence[float], clients: slice) -> list[list[float]]:
        """Count a step of some clients, and return the numbers that it multiplies with, each row one for each client.

        Args:
            rates: these clients' learning rates.
            clients: which they are.
        """
        ...

    def step(self, gradients: Sequence[Tensor], factors: Sequence[Factors], clients: slice) -> None:
        """Take a step along the gradients (n, …) of some of the clients.

        Args:
            gradients: in the order of the weights.
            factors: what :meth:`factors` returned, as numbers or as tensors (n,).
            clients: which they are.
        """
        ...

    def memory(self) -> list[Tensor]:
        """Return what is remembered, tensors (K, …) that steps change in place; nothing fresh is left among them."""
        ...

    def refill(self, kept: Kept) -> None:
        """Remember in the same tensors what other clients' optimizers remember."""
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

    @property
    def rows(self) -> int:
        """One: the learning rate."""
        return 1

    def factors(self, rates: Sequence[float], clients: slice) -> list[list[float]]:
        """Return the learning rates."""
        return [list(rates)]

    def step(self, gradients: Sequence[Tensor], factors: Sequence[Factors], clients: slice) -> None:
        """Change the weights of some clients by one step."""
        weights = [weight[clients] for weight in self.weights]
        direction = list(gradients)
        if self.weight_decay:
            direction = list(torch._foreach_add(direction, weights, alpha=self.weight_decay))
        if self.momentum:
            direction = self._accelerated(direction, clients)
        (rates,) = factors
        if not isinstance(rates, Tensor) and len(set(rates)) == 1:
            torch._foreach_add_(weights, direction, alpha=-rates[0])
            return
        for weight, own in zip(weights, direction, strict=True):
            # Rounded as the sum above.
            weight.addcmul_(own, beside(_tensor(rates, own).neg(), own))

    def memory(self) -> list[Tensor]:
        """Return the velocities; fresh ones become 0, which is as good as none."""
        if self.velocity and any(self.is_fresh):
            torch._foreach_zero_(self.velocity)
            self.is_fresh = [False] * len(self.is_fresh)
        return self.velocity

    def refill(self, kept: Kept) -> None:
        """Take over velocities."""
        _copied(self.velocity, _stacked(self.weights, kept, "momentum") if self.momentum else [])

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
        self.steps = _steps(kept, len(self.weights))

    @property
    def rows(self) -> int:
        """One, and two of each weight."""
        return 1 + 2 * len(self.weights)

    def factors(self, rates: Sequence[float], clients: slice) -> list[list[float]]:
        """Return by what weights shrink, and of each weight what corrects the lengths, and the sizes of steps."""
        rows = [[1 - rate * self.weight_decay for rate in rates]]
        for steps in self.steps:
            steps[clients] = taken = [number + 1 for number in steps[clients]]
            rows.append([1 / math.sqrt(1 - _BETA2**number) for number in taken])
            rows.append([rate / (1 - _BETA1**number) for rate, number in zip(rates, taken, strict=True)])
        return rows

    def step(self, gradients: Sequence[Tensor], factors: Sequence[Factors], clients: slice) -> None:
        """Change the weights of some clients by one step."""
        weights, means, squares = (
            [tensor[clients] for tensor in tensors] for tensors in (self.weights, self.means, self.squares)
        )
        direction = list(gradients)
        if self.weight_decay and self.decoupled:
            torch._foreach_copy_(weights, [each_times(weight, factors[0]) for weight in weights])
        elif self.weight_decay:
            direction = list(torch._foreach_add(direction, weights, alpha=self.weight_decay))
        torch._foreach_lerp_(means, direction, 1 - _BETA1)
        torch._foreach_mul_(squares, _BETA2)
        torch._foreach_addcmul_(squares, direction, direction, 1 - _BETA2)
        lengths = list(torch._foreach_sqrt(squares))
        pairs = zip(weights, means, lengths, factors[1::2], factors[2::2], strict=True)
        for weight, mean, length, correction, sizes in pairs:
            weight.sub_(each_times(mean / each_times(length, correction).add_(_EPSILON), sizes))

    def memory(self) -> list[Tensor]:
        """Return the moments."""
        return [*self.means, *self.squares]

    def refill(self, kept: Kept) -> None:
        """Take over moments, and how many steps are behind them."""
        _copied(self.means, _stacked(self.weights, kept, "exp_avg"))
        _copied(self.squares, _stacked(self.weights, kept, "exp_avg_sq"))
        self.steps = _steps(kept, len(self.weights))

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


def each_times(tensor: Tensor, factors: Factors) -> Tensor:
    """Return a tensor (n, …), the part of each client times a factor of its own."""
    if not isinstance(factors, Tensor) and len(set(factors)) == 1:
        return tensor * factors[0]
    return tensor * beside(_tensor(factors, tensor), tensor)


def beside(factors: Tensor, tensor: Tensor) -> Tensor:
    """Return factors (n,) with as many axes as a tensor (n, …)."""
    return factors.view(-1, *[1] * (tensor.dim() - 1))


def _tensor(factors: Factors, like: Tensor) -> Tensor:
    return factors if isinstance(factors, Tensor) else torch.tensor(factors, dtype=like.dtype, device=like.device)


def _steps(kept: Kept, weights: int) -> list[list[int]]:
    """Return of each weight how many steps of each client are behind it."""
    return [[int(own[place].get("step", torch.zeros(()))) for own in kept] for place in range(weights)]


def _copied(tensors: Sequence[Tensor], new: Sequence[Tensor]) -> None:
    """Put new numbers into tensors."""
    for tensor, own in zip(tensors, new, strict=True):
        tensor.copy_(own)


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
