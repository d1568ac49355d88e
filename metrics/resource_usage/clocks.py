"""Points in time that are right on the device, too: a GPU works on while Python goes ahead."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch


class Clock(Protocol):
    """Marks points in time, and says later how many seconds lie between two of them."""

    def mark(self) -> Any:
        """Return now, without waiting for the device."""

    def between(self, first: Any, second: Any) -> float:
        """Return the seconds between two marks; it may wait for the second one."""

    def settle(self) -> None:
        """Wait until the device has done everything."""


class HostClock:
    """The clock of the CPU, and of devices without events, for which it waits at each mark.

    Args:
        wait: waits for the device; None if there is nothing to wait for.
    """

    def __init__(self, wait: Callable[[], None] | None = None) -> None:
        self._wait = wait

    def mark(self) -> float:
        """Return seconds since some time."""
        self.settle()
        return time.perf_counter()

    def between(self, first: float, second: float) -> float:
        """Return the difference."""
        return second - first

    def settle(self) -> None:
        """Wait for the device."""
        if self._wait is not None:
            self._wait()


@dataclass(frozen=True, slots=True)
class _Mark:
    event: Any
    host: float


class EventClock:
    """The clock of a CUDA device: an event in its stream, so that nothing waits before the epoch's end.

    Args:
        device: the device.
        cuda: ``torch.cuda``.
    """

    def __init__(self, device: torch.device, cuda: Any = torch.cuda) -> None:
        self._device, self._cuda = device, cuda

    def mark(self) -> _Mark:
        """Return an event that happens when the device has done what it was given so far."""
        event = self._cuda.Event(enable_timing=True)
        event.record(self._cuda.current_stream(self._device))
        return _Mark(event, time.perf_counter())

    def between(self, first: _Mark, second: _Mark) -> float:
        """Return the device's seconds between two events."""
        second.event.synchronize()
        return float(first.event.elapsed_time(second.event)) / 1000

    def settle(self) -> None:
        """Wait for the device."""
        self._cuda.synchronize(self._device)


def clock_of(device: torch.device) -> Clock:
    """Return the clock for a device."""
    if device.type == "cuda":
        return EventClock(device)
    if device.type == "cpu":
        return HostClock()
    return HostClock(lambda: torch.accelerator.synchronize(device))
