"""Looks at every k-th step of clients that train as one: what they measure stays on the device for a window."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedlayers.core.layers import Layer
from fedlayers.core.schedule import Step
from metrics.tracking.follower import Followers
from metrics.training_dynamics.gradients.step_norms import norms_of, stacked_units_of


@dataclass(frozen=True)
class Seen:
    """What a window of looks has measured of one client, read from the device.

    Attributes:
        steps: those that were looked at.
        names: of the weights.
        trained: of each look, names of the weights that had a gradient.
        norms: of each look, norms of what it changed in all weights, of these gradients, and of all weights before the
            step.
        still: name -> share of the units of a weight that had no gradient at any of the looks.
    """

    steps: Sequence[Step]
    names: Sequence[str]
    trained: Sequence[tuple[str, ...]]
    norms: Sequence[Sequence[float]]
    still: Mapping[str, float]


@dataclass(frozen=True)
class _Look:
    """One look at some clients; norms are on the device, shape ((trained + 2 weights) · n,), by weight and client."""

    steps: Sequence[Step]
    clients: slice
    trained: tuple[str, ...]
    norms: Tensor


class StackedLooks(Followers):
    """Looks at steps 1, 1 + k, 1 + 2k, … of K clients: norms of gradients, of weights before the step, of its change.

    One operation measures all clients, which a client alone is one of. The device is waited for once a window.

    Args:
        layers: the model's layers.
        every: k, steps from one look to the next.
        window: looks in a window.
        tell: for each client, what takes over a window.
    """

    def __init__(
        self, layers: Sequence[Layer], every: int, window: int, tell: Sequence[Callable[[Seen], None]]
    ) -> None:
        self.every, self.window, self._tell = every, window, tell
        self._about = {p.name: p for layer in layers for p in layer.parameters}
        self._names: list[str] = []
        # The weights before a step that is looked at; memory is used again, for fresh pages cost more than the norms.
        self._before: list[Tensor] = []
        # Their norms (weights, K).
        self._held = torch.zeros(0)
        self._is_copied = [False] * len(tell)
        self._looks: list[_Look] = []
        self._largest: dict[str, Tensor] = {}

    def wants(self, step: Step) -> bool:
        """Say whether the step is looked at, or is the one before such a step: weights are copied there."""
        return step.number % self.every <= 1

    def start(self, weights: Mapping[str, Tensor]) -> None:
        """Copy the weights (K, …)."""
        self.close()
        names = [name for name in weights if name in self._about]
        if names != self._names:
            self._names = names
            self._before = [torch.empty_like(weights[name], requires_grad=False) for name in names]
        if names:
            self._copy(weights, slice(0, len(self._tell)))

    def look(
        self, steps: Sequence[Step], clients: slice, weights: Mapping[str, Tensor], gradients: Mapping[str, Tensor]
    ) -> None:
        """Measure a step of some clients, or copy their weights before the next one."""
        number = steps[0].number
        if not self._names:
            return
        if (number - 1) % self.every == 0 and all(self._is_copied[clients]):
            self._measure(steps, clients, weights, gradients)
        self._is_copied[clients] = [False] * len(steps)
        if number % self.every == 0 and any(number < step.last for step in steps):
            self._copy(weights, clients)

    def close(self) -> None:
        """Read the looks of the window so far, hand them over, and begin a new one; here the device is waited for."""
        looks, largest = self._looks, self._largest
        self._looks, self._largest = [], {}
        if not looks:
            return
        alive = [torch.count_nonzero(units, 1) for units in largest.values()]
        parts = [*(look.norms for look in looks), *alive]
        values: list[float] = torch.cat(parts).tolist()
        ends = [0, *itertools.accumulate(len(part) for part in parts)]
        apart = [values[start:end] for start, end in itertools.pairwise(ends)]
        shares = {
            name: [_share(units.shape[1] - count, units.shape[1]) for count in counts]
            for (name, units), counts in zip(largest.items(), apart[len(looks) :], strict=True)
        }
        for client, tell in enumerate(self._tell):
            own = [place for place, look in enumerate(looks) if look.clients.start <= client < look.clients.stop]
            if own:
                tell(
                    Seen(
                        [looks[place].steps[client - looks[place].clients.start] for place in own],
                        self._names,
                        [looks[place].trained for place in own],
                        [apart[place][client - looks[place].clients.start :: len(looks[place].steps)] for place in own],
                        {name: share[client] for name, share in shares.items()},
                    )
                )

    @torch.no_grad()
    def _copy(self, weights: Mapping[str, Tensor], clients: slice) -> None:
        now, before = self._of(clients, [weights[name] for name in self._names]), self._of(clients, self._before)
        torch._foreach_copy_(before, now)
        # Here, where they have just been in the processor's cache.
        norms = norms_of(_apart(before)).view(len(now), -1)
        if norms.shape[1] == len(self._tell):
            self._held = norms
        else:
            self._held[:, clients] = norms
        self._is_copied[clients] = [True] * now[0].shape[0]

    @torch.no_grad()
    def _measure(
        self, steps: Sequence[Step], clients: slice, weights: Mapping[str, Tensor], gradients: Mapping[str, Tensor]
    ) -> None:
        trained = tuple(name for name in gradients if name in self._about)
        before = self._of(clients, self._before)
        torch._foreach_sub_(before, self._of(clients, [weights[name] for name in self._names]))
        # One call, for each costs more than a small layer's norm; the changes first, which the cache still holds.
        found = norms_of([*_apart(before), *(_apart([gradients[name] for name in trained]) if trained else ())])
        for name in trained:
            units = stacked_units_of(gradients[name], self._about[name])
            if units is not None:
                self._keep_largest(name, units, clients)
        held = self._held if len(steps) == len(self._tell) else self._held[:, clients]
        self._looks.append(_Look(steps, clients, trained, torch.cat([found, held.reshape(-1)])))
        if len(self._looks) >= self.window:
            self.close()

    def _keep_largest(self, name: str, units: Tensor, clients: slice) -> None:
        """Keep the largest norms of the units' gradients in this window."""
        is_everybody = len(units) == len(self._tell)
        if name not in self._largest:
            if is_everybody:
                self._largest[name] = units
                return
            self._largest[name] = units.new_zeros(len(self._tell), units.shape[1])
        seen = self._largest[name] if is_everybody else self._largest[name][clients]
        torch.maximum(seen, units, out=seen)

    def _of(self, clients: slice, tensors: list[Tensor]) -> list[Tensor]:
        """Return the parts of stacked tensors that belong to some clients."""
        is_everybody = clients.stop - clients.start == len(self._tell)
        return tensors if is_everybody else [tensor[clients] for tensor in tensors]


def _share(count: float, whole: int) -> float:
    """Return a share of single precision, in which norms are."""
    return float(np.float32(count / whole))


def _apart(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors of single clients, all clients' of one name after another."""
    return list(tensors) if tensors[0].shape[0] == 1 else [part for tensor in tensors for part in tensor.unbind(0)]
