"""Gradient norms of every layer at every step, without waiting for the device: it is read once a window."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from fedlayers.core.layers import Layer, Parameter
from metrics.training_dynamics.gradients.alarms import Window

# Entries of a parameter of which the update of a step is looked at.
_LOOKED_AT = 4096
# Entries that are summed up in their own type.
_EXACT = 2**18


class StepNorms:
    """Measures the gradients that a backward pass has left, and what the step before changed.

    Args:
        parameters: name -> the model's trainable parameters.
        layers: the layers they belong to.
        size: steps in a window.

    Attributes:
        parameters: as given.
        layers: those that have some of them.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], layers: Sequence[Layer], size: int) -> None:
        self.layers = [layer for layer in layers if any(name in parameters for name in layer.names)]
        self._owner = {name: at for at, layer in enumerate(self.layers) for name in layer.names if name in parameters}
        self._about = {p.name: p for layer in self.layers for p in layer.parameters if p.name in parameters}
        self.parameters, self.size = dict(parameters), size
        counts = np.zeros(len(self.layers), np.int64)
        for name, at in self._owner.items():
            counts[at] += parameters[name].numel()
        self.sizes = counts
        generator = torch.Generator().manual_seed(0)
        self._looked_at = {
            name: torch.randint(tensor.numel(), (_LOOKED_AT,), generator=generator).to(tensor.device)
            for name, tensor in parameters.items()
            if tensor.numel() > _LOOKED_AT
        }
        self._before: dict[str, Tensor] = {}
        # Of the window under way: its steps, whose gradients there were, and their norms, still on the device.
        self._steps: list[int] = []
        self._present: list[tuple[str, ...]] = []
        self._norms: list[Tensor] = []
        self._largest: dict[str, Tensor] = {}
        self._ratio: Tensor | None = None
        # Units are looked at ten times a window: that takes longer than all norms together.
        self._units_every = max(1, size // 10)

    @property
    def is_full(self) -> bool:
        """Whether the window has all its steps."""
        return len(self._steps) >= self.size

    def measure(self, step: int, names: Iterable[str], scale: float = 1.0) -> None:
        """Measure the gradients of the parameters that have got one; nothing waits for the device.

        Args:
            step: its number.
            names: of the parameters.
            scale: what they are divided by.
        """
        gradients = {name: gradient for name in names if (gradient := self.parameters[name].grad) is not None}
        self._look_at_weights()
        if not gradients:
            return
        dense = [_dense(gradient.detach()) for gradient in gradients.values()]
        if len(self._steps) % self._units_every == 0:
            for name, gradient in zip(gradients, dense, strict=True):
                units = units_of(gradient, self._about[name])
                if units is not None:
                    seen = self._largest.get(name)
                    self._largest[name] = units if seen is None else torch.maximum(seen, units)
        self._norms.append(norms_of(dense) / scale)
        self._present.append(tuple(gradients))
        self._steps.append(step)

    def _look_at_weights(self) -> None:
        """Compare some entries of the weights at the first and the second step of a window: what one update changed."""
        if len(self._steps) == 0:
            self._before = {name: self._entries(name).clone() for name in self._owner}
        elif len(self._steps) == 1:
            changed, whole = dict[int, list[Tensor]](), dict[int, list[Tensor]]()
            for name, at in self._owner.items():
                scale = self.parameters[name].numel() / max(len(self._before[name]), 1)
                now, before = self._entries(name), self._before[name]
                changed.setdefault(at, []).append((now - before).float().square().sum() * scale)
                whole.setdefault(at, []).append(before.float().square().sum() * scale)
            first = next(iter(changed.values()))[0].device
            parts = [
                torch.stack([torch.stack([x.to(first) for x in side[at]]).sum() for at in range(len(self.layers))])
                for side in (changed, whole)
            ]
            self._ratio = (parts[0] / parts[1]).sqrt()
            self._before = {}

    def _entries(self, name: str) -> Tensor:
        values = self.parameters[name].detach().reshape(-1)
        return values[self._looked_at[name]] if name in self._looked_at else values

    def take(self) -> tuple[Window, np.ndarray] | None:
        """Return the window so far and each layer's ratio of update to weight (NaN if unknown), and begin a new one.

        None if no step was measured. Here the device is waited for, once.
        """
        if not self._steps:
            return None
        squares = np.full((len(self._steps), len(self.layers)), np.nan)
        # One transfer: everything in one row after another.
        values = torch.cat(self._norms).to("cpu", torch.float64).square()
        each = torch.split(values, [len(names) for names in self._present])
        for row, (names, of_step) in enumerate(zip(self._present, each, strict=True)):
            places = [self._owner[name] for name in names]
            squares[row, places] = 0.0
            np.add.at(squares[row], places, of_step.numpy())
        dead = np.full(len(self.layers), np.nan)
        for at in range(len(self.layers)):
            of_units = [largest for name, largest in self._largest.items() if self._owner[name] == at]
            if of_units:
                still = torch.stack([(largest == 0).float().mean() for largest in of_units]).mean()
                dead[at] = float(still)
        ratio = np.full(len(self.layers), np.nan) if self._ratio is None else self._ratio.cpu().double().numpy()
        present = [{self._owner[name] for name in names} for names in self._present]
        is_absent = [[at not in own for own in present] for at in range(len(self.layers))]
        norms = np.sqrt(squares).T.tolist()
        window = Window(list(self._steps), norms, self.sizes.tolist(), dead.tolist(), is_absent)
        self._steps, self._norms, self._present, self._largest, self._ratio = [], [], [], {}, None
        return window, np.where(np.isfinite(ratio), ratio, np.nan)


def _dense(gradient: Tensor) -> Tensor:
    """Return a gradient's entries, of a sparse one those that are there."""
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def norms_of(tensors: Sequence[Tensor]) -> Tensor:
    """Return the norm of each tensor, in float32 or more, on the device of the first.

    Example:
        >>> norms_of([torch.tensor([3.0, 4.0]), torch.ones(2, 2)])
        tensor([5., 2.])
    """
    if _are_plain(tensors):
        return torch.stack(torch._foreach_norm(list(tensors)))
    if any(tensor.dtype in (torch.float16, torch.bfloat16) for tensor in tensors):
        tensors = [tensor.float() for tensor in tensors]
    # On a CPU one sum of millions of float32 loses digits; sums of parts do not, and take no longer.
    if any(tensor.device.type == "cpu" and tensor.numel() > _EXACT for tensor in tensors):
        parts = [torch.split(tensor.reshape(-1), _EXACT) for tensor in tensors]
        owners = torch.tensor([place for place, own in enumerate(parts) for _ in own])
        squares = norms_of([part for own in parts for part in own]).double().square()
        return squares.new_zeros(len(tensors)).index_add_(0, owners.to(squares.device), squares).sqrt()
    norms = list(torch._foreach_norm(list(tensors)))
    if len({(norm.dtype, norm.device) for norm in norms}) > 1:
        norms = [norm.to(norms[0].device, torch.float64) for norm in norms]
    return torch.stack(norms)


def _are_plain(tensors: Sequence[Tensor]) -> bool:
    """Say whether tensors are on the CPU, in float32, and short, as those of small models are."""
    for tensor in tensors:
        if not tensor.is_cpu or tensor.dtype is not torch.float32 or tensor.numel() > _EXACT:
            return False
    return True


def units_of(gradient: Tensor, about: Parameter) -> Tensor | None:
    """Return the norm of each output unit's gradient, None where a parameter has no units of several weights."""
    units = stacked_units_of(gradient.unsqueeze(0), about)
    return None if units is None else units[0]


def stacked_units_of(gradients: Tensor, about: Parameter) -> Tensor | None:
    """Return the norms (n, units) of each unit's gradient of n clients, as :func:`units_of` does of one.

    Args:
        gradients: of one parameter, shape (n, *shape of the parameter).
        about: the parameter.
    """
    if not about.role.endswith("weight") or gradients.ndim < 3 or gradients.shape[1:] != about.shape:
        return None
    others = [1 + axis for axis in range(gradients.ndim - 1) if axis != about.unit_axis]
    norms: Tensor = torch.linalg.vector_norm(gradients, dim=others, dtype=torch.float32)
    return norms
