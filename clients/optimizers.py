"""Optimizers of local training: they take gradients as a list and change the weights in place."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from fedlayers.config.schema.training import Training

# As in torch.nn.utils.clip_grad_norm_: keeps the factor finite where all gradients are 0.
CLIP_EPSILON = 1e-6


class Optimizer(Protocol):
    """What local training asks of an optimizer."""

    lr: float

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Change the weights in place by one step along gradients given in the order of the weights."""
        ...

    def state(self) -> list[dict[str, Tensor]]:
        """Return what is remembered of each weight, in their order: tensors by name, {} before the first step."""
        ...

    def load(self, state: Sequence[Mapping[str, Tensor]]) -> None:
        """Go on from what :meth:`state` returned, taking over its tensors; a weight with {} starts afresh."""
        ...


def make_optimizer(training: Training, weights: Sequence[Tensor], lr: float) -> Optimizer:
    """Return a fresh optimizer of the configured kind.

    Args:
        training: ``optimizer``, ``momentum`` (SGD alone) and ``weight_decay`` are read. With ``sgd`` and ``adam`` the
            decay is an L2 term in the gradient, with ``adamw`` it is decoupled. Adam's β are 0.9 and 0.999.
        weights: the tensors to change.
        lr: the learning rate η, until it is changed.
    """
    if training.optimizer == "sgd":
        return SGD(weights, lr, training.momentum, training.weight_decay)
    return Adam(weights, lr, training.weight_decay, decoupled=training.optimizer == "adamw")


class SGD:
    """Stochastic gradient descent: b ← µ b + (g + λ w), w ← w − η b, as ``torch.optim.SGD`` to the last bit.

    Args:
        weights: the tensors w to change.
        lr: the learning rate η.
        momentum: µ in [0, 1).
        weight_decay: λ ≥ 0.
    """

    # Own code because a step of torch.optim.SGD costs half as much again on a small model.
    def __init__(self, weights: Sequence[Tensor], lr: float, momentum: float, weight_decay: float) -> None:
        self.weights = list(weights)
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.velocity: list[Tensor] = []

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Change the weights by one step."""
        direction = list(gradients)
        with torch.no_grad():
            if self.weight_decay:
                direction = list(torch._foreach_add(direction, self.weights, alpha=self.weight_decay))
            if self.momentum:
                direction = self._accelerated(direction)
            torch._foreach_add_(self.weights, direction, alpha=-self.lr)

    def state(self) -> list[dict[str, Tensor]]:
        """Return each weight's b as ``momentum``."""
        return [{"momentum": own} for own in self.velocity] or [{} for _ in self.weights]

    def load(self, state: Sequence[Mapping[str, Tensor]]) -> None:
        """Go on from each weight's ``momentum``; where there is none, b = 0 is as good as none."""
        if any(state):
            pairs = zip(self.weights, state, strict=True)
            self.velocity = [
                kept["momentum"] if kept else torch.zeros_like(weight, requires_grad=False) for weight, kept in pairs
            ]

    def _accelerated(self, direction: list[Tensor]) -> list[Tensor]:
        if self.velocity:
            torch._foreach_mul_(self.velocity, self.momentum)
            torch._foreach_add_(self.velocity, direction)
        else:
            # Gradients of different weights may share memory.
            self.velocity = [tensor.clone() for tensor in direction]
        return self.velocity


class Adam:
    """Adam or AdamW from torch, in one fused pass over weights that are real.

    Args:
        weights: the tensors to change, leaves that require gradients.
        lr: the learning rate.
        weight_decay: 0 or more.
        decoupled: AdamW instead of Adam.

    References:
        Kingma and Ba 2015, Adam, arXiv:1412.6980. Loshchilov and Hutter 2019, Decoupled weight decay
        regularization, arXiv:1711.05101.
    """

    def __init__(self, weights: Sequence[Tensor], lr: float, weight_decay: float, *, decoupled: bool) -> None:
        self.weights = list(weights)
        kind = torch.optim.AdamW if decoupled else torch.optim.Adam
        # Fused kernels of GPUs know no complex numbers.
        real = all(weight.is_floating_point() for weight in self.weights)
        self.optimizer = kind(self.weights, lr=lr, weight_decay=weight_decay, fused=real)

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Change the weights by one step."""
        for weight, gradient in zip(self.weights, gradients, strict=True):
            # The fused kernels take it for granted that a gradient lies in memory as its weight does, as backward()
            # leaves it; that of a convolution may lie otherwise.
            alike = gradient.stride() == weight.stride()
            weight.grad = gradient if alike else torch.empty_like(weight).copy_(gradient)
        self.optimizer.step()
        for weight in self.weights:
            weight.grad = None

    @property
    def lr(self) -> float:
        """The learning rate."""
        return float(self.optimizer.param_groups[0]["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        self.optimizer.param_groups[0]["lr"] = value

    def state(self) -> list[dict[str, Tensor]]:
        """Return each weight's moments, ``exp_avg`` and ``exp_avg_sq``, and ``step``, how many steps they are of."""
        return [dict(self.optimizer.state.get(weight, {})) for weight in self.weights]

    def load(self, state: Sequence[Mapping[str, Tensor]]) -> None:
        """Go on from each weight's moments and number of steps."""
        for weight, kept in zip(self.weights, state, strict=True):
            if kept:
                self.optimizer.state[weight] = dict(kept)


def clipped(gradients: Sequence[Tensor], clip_norm: float) -> list[Tensor]:
    """Return the gradients, scaled down together if their common norm exceeds ``clip_norm``.

    The factor is min(1, c / (‖g‖ + 10⁻⁶)), as in ``torch.nn.utils.clip_grad_norm_``.

    Args:
        gradients: one tensor a weight.
        clip_norm: the largest norm c of all gradients as one vector, positive.
    """
    # In double precision: on the CPU a float32 norm of a large tensor is wrong in the third digit.
    norms = [torch.linalg.vector_norm(gradient, dtype=torch.float64) for gradient in gradients]
    factor = (clip_norm / (torch.linalg.vector_norm(torch.stack(norms)) + CLIP_EPSILON)).clamp(max=1.0)
    return list(torch._foreach_mul(list(gradients), factor.to(gradients[0].dtype)))
