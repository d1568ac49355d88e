"""What one piece of work takes: time by part, memory, energy."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

from fedlayers.core.records import Resource
from metrics.resource_usage.memory import MemoryNow, forget_peaks, memory_now, peak_host_bytes
from metrics.resource_usage.power import Power

OTHER = "other"


class Work:
    """Times parts of a piece of work, inside one another, from where it is made.

    A part inside another one has both names, ``train/dynamics``. The device is waited for where a part begins and ends.

    Args:
        device: where it computes.
        clock: seconds that only grow; one that stands still while others work side by side.
    """

    def __init__(self, device: torch.device, clock: Callable[[], float] = time.perf_counter) -> None:
        self.device, self._clock = device, clock
        self._power = Power(device)
        self._open: list[str] = []
        self.seconds: dict[str, float] = {}
        forget_peaks(device)
        self._energy = self._power.energy_j()
        self._began = self._now()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a block of code as a part of the part that is under way."""
        self._open.append(name)
        path, began = "/".join(self._open), self._now()
        try:
            yield
        finally:
            self._open.pop()
            self.add(path, self._now() - began)

    def add(self, path: str, seconds: float) -> None:
        """Add time to a part that was measured elsewhere."""
        self.seconds[path] = self.seconds.get(path, 0.0) + seconds

    def rows(self) -> list[Resource]:
        """Return what the work has taken so far, a row a quantity; ``subject`` of a part's time is its path."""
        whole = self._now() - self._began
        parts = {**self.seconds, OTHER: max(whole - _top(self.seconds), 0.0)}
        inside: dict[str, float] = {}
        for path, seconds in parts.items():
            outer = path.rpartition("/")[0]
            inside[outer] = inside.get(outer, 0.0) + seconds
        rows = [Resource("message_s", whole, "s")]
        for path, seconds in parts.items():
            own = max(seconds - inside.get(path, 0.0), 0.0)
            rows.append(Resource("component_s", seconds, "s", subject=path))
            rows.append(Resource("component_own_s", own, "s", subject=path))
        return [*rows, *memory_rows(memory_now(self.device)), *self._energy_rows()]

    def _energy_rows(self) -> list[Resource]:
        now, used = self._power.energy_j(), self._power.utilisation()
        found = [] if now is None or self._energy is None else [Resource("energy", now - self._energy, "J")]
        return found if used is None else [*found, Resource("gpu_utilisation", used, "1")]

    def _now(self) -> float:
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)
        return self._clock()


def _top(seconds: Mapping[str, float]) -> float:
    """Return the time of the parts that are inside no other one."""
    return sum(one for path, one in seconds.items() if "/" not in path)


def memory_rows(memory: MemoryNow) -> list[Resource]:
    """Return memory now and at its highest, of the process since it began, of the GPU since the work began."""
    found = {
        "host_memory": memory.host,
        "peak_host_memory": max(peak_host_bytes(), memory.host),
        "gpu_memory": memory.allocated,
        "peak_gpu_memory": memory.peak_allocated,
        "peak_gpu_reserved": memory.peak_reserved,
    }
    return [Resource(name, float(value), "bytes") for name, value in found.items() if value is not None]
