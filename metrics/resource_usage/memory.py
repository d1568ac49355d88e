"""Memory of this process and of the device, now and at its highest."""

import os
import resource
import sys
from dataclasses import dataclass
from functools import lru_cache

import psutil
import torch

MB = 1e6
PAGE = resource.getpagesize()


@dataclass(frozen=True, slots=True)
class MemoryNow:
    """Bytes in use.

    Attributes:
        host: resident memory of the process.
        allocated, reserved: tensors on the GPU, and what the allocator holds; None without a GPU.
        peak_allocated, peak_reserved: the highest since :func:`forget_peaks`.
    """

    host: int
    allocated: int | None = None
    reserved: int | None = None
    peak_allocated: int | None = None
    peak_reserved: int | None = None


def host_bytes() -> int:
    """Return the resident memory of this process."""
    file = _pages_of(os.getpid())
    if file is None:
        return int(psutil.Process().memory_info().rss)
    return int(os.pread(file, 200, 0).split()[1]) * PAGE


# A process that was forked has a number, and so a file, of its own.
@lru_cache(maxsize=1)
def _pages_of(process: int) -> int | None:
    """Return an open file that says how many pages a process has; to open it takes ten times as long as to read it."""
    try:
        return os.open(f"/proc/{process}/statm", os.O_RDONLY)
    except OSError:  # not Linux
        return None


def peak_host_bytes() -> int:
    """Return the highest resident memory of this process since it began."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on macOS.
    return int(kilobytes) if sys.platform == "darwin" else int(kilobytes) * 1024


def memory_now(device: torch.device) -> MemoryNow:
    """Return what is in use; of a device that counts nothing the host's part alone."""
    if device.type != "cuda":
        return MemoryNow(host_bytes())
    return MemoryNow(
        host_bytes(),
        torch.cuda.memory_allocated(device),
        torch.cuda.memory_reserved(device),
        torch.cuda.max_memory_allocated(device),
        torch.cuda.max_memory_reserved(device),
    )


def forget_peaks(device: torch.device) -> None:
    """Let the highest use of the device count from now on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
