"""Memory against batch size, measured: one training step at growing sizes until a limit is near."""

import gc
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from fedlayers.core.machine.cgroup import memory_limit
from fedlayers.core.machine.devices import give_freed_memory_back
from metrics.resource_usage.memory import forget_peaks, host_bytes, memory_now

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
# Of what is free; the rest is for what grows faster than expected, and for others.
_SHARE = 0.8
_CLEAR = Path("/proc/self/clear_refs")
_LOOK_S = 5e-4
# A count that was set back is at what the process holds.
_NEAR_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class BatchMemory:
    """One batch size.

    Attributes:
        batch_size: examples of the step.
        peak_bytes: the highest memory of the step: the GPU's tensors, or the process; None if it was not run.
        reason: why it was not.
    """

    batch_size: int
    peak_bytes: int | None
    reason: str | None = None


def sweep_batch_sizes(
    step: Callable[[int], object],
    sizes: Sequence[int] = SIZES,
    device: torch.device | str = "cpu",
    limit_bytes: int | None = None,
) -> list[BatchMemory]:
    """Return the peak memory of a training step at each batch size, up to the first that might not fit.

    A size is run only if the line through those before says that it stays below the limit; one that fails for want of
    memory ends the sweep, too. So the last entry may be one that was not run, with the reason.

    Args:
        step: does forward pass, backward pass and update with so many examples.
        sizes: rising.
        device: where the step runs.
        limit_bytes: the most memory to use; None for 80 % of what is free.

    Raises:
        ValueError: sizes do not rise, or the limit is not positive.
    """
    sizes = list(sizes)
    if not sizes or sizes != sorted(set(sizes)) or sizes[0] < 1:
        raise ValueError(f"sizes must be 1 or more and rise, got {sizes}")
    if limit_bytes is not None and limit_bytes < 1:
        raise ValueError(f"limit_bytes must be positive, got {limit_bytes}")
    place = torch.device(device)
    limit = _free(place) if limit_bytes is None else limit_bytes
    found: list[BatchMemory] = []
    for size in sizes:
        expected = _expected(found, size)
        if expected > limit:
            reason = f"about {expected / 1e6:,.0f} MB expected, above the limit of {limit / 1e6:,.0f} MB"
            return [*found, BatchMemory(size, None, reason)]
        try:
            found.append(BatchMemory(size, _peak_of(step, size, place)))
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "memory" not in str(error).lower():
                raise
            return [*found, BatchMemory(size, None, "out of memory")]
        finally:
            _tidy(place)
    return found


def _expected(found: Sequence[BatchMemory], size: int) -> float:
    """Return what the line through the last two sizes says of the next one; before there are two, nothing."""
    done = [(one.batch_size, one.peak_bytes) for one in found if one.peak_bytes is not None]
    if len(done) < 2:
        return 0.0
    (first, low), (second, high) = done[-2:]
    return high + max(high - low, 0) / (second - first) * (size - second)


def _peak_of(step: Callable[[int], object], size: int, device: torch.device) -> int:
    _tidy(device)
    forget_peaks(device)
    if device.type == "cuda":
        step(size)
        torch.cuda.synchronize(device)
        return int(memory_now(device).peak_allocated or 0)
    if _forget_host_peak():
        step(size)
        return _host_peak()
    with _Looking() as seen:
        step(size)
    return seen.highest


def _forget_host_peak() -> bool:
    """Let the process's highest memory count from now on; False where the system takes the order and does nothing."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return False
    return _host_peak() <= host_bytes() + _NEAR_BYTES


def _host_peak() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return host_bytes()


class _Looking:
    """The highest resident memory seen while something runs, where the system's own count cannot be set back.

    A look every half millisecond, from a second thread: what is allocated and freed between two looks is missed. The
    system's highest of the whole life would be worse: what the process took before hides a smaller step.
    """

    def __init__(self) -> None:
        self.highest = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "_Looking":
        self.highest = host_bytes()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.highest = max(self.highest, host_bytes())

    def _look(self) -> None:
        while not self._done.wait(_LOOK_S):
            self.highest = max(self.highest, host_bytes())


def _free(device: torch.device) -> float:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return _SHARE * (free + torch.cuda.memory_reserved(device))
    available, limit = psutil.virtual_memory().available, memory_limit()
    if limit is not None:
        available = min(available, max(limit - host_bytes(), 0))
    return host_bytes() + _SHARE * available


def _tidy(device: torch.device) -> None:
    """Give back what is free: a step that finds room in memory that is kept would seem to take none."""
    gc.collect()
    give_freed_memory_back()
    if device.type == "cuda":
        torch.cuda.empty_cache()
