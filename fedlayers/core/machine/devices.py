"""Devices and threads: where tensors live and how many threads a computation uses."""

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache

import torch
from threadpoolctl import ThreadpoolController

from fedlayers.core.errors import UserError
from fedlayers.core.machine.allocation import allocated_gpus

# Option numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
# Freed blocks of fewer bytes are kept. Older versions of glibc refuse the larger number, and keep the other.
_KEPT_UP_TO = (32 * 2**20, 64 * 2**20)
# A processor's share falls by a fifth with each step of niceness; the last one.
_STEPS, _NICEST = 4, 19
# Of Ray's workers, unless their Ray is of our own.
RAYS_NICENESS = 15
# The memory in which cuBLAS computes, and the settings with which it adds in the same order every time.
_WORKSPACE, _REPEATABLE = "CUBLAS_WORKSPACE_CONFIG", (":4096:8", ":16:8")


def resolve_device(name: str) -> torch.device:
    """Return the torch device for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UserError: ``cuda`` was asked for and this process sees no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "device must be cpu or auto where this process sees no usable GPU, got 'cuda'; with engine=ray give each "
            "client a share of one, such as engine.client_gpus=0.25"
        )
    # A job without GPUs leaves those of its node to others, also where SLURM does not hide them.
    usable = torch.cuda.is_available() and (name == "cuda" or allocated_gpus() != 0)
    return torch.device("cuda" if name != "cpu" and usable else "cpu")


def prepare_process(deterministic: bool) -> None:
    """Set up torch in this process: kernels and memory.

    Full float32 always (no TF32); with ``deterministic`` only kernels whose result never varies.

    Raises:
        UserError: ``deterministic``, and cuBLAS computes, or will, in a workspace with which its sums vary.
    """
    _keep_freed_memory()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        # Whatever this run is: torch asks once a process, and a later run of it may be deterministic.
        os.environ.setdefault(_WORKSPACE, _REPEATABLE[0])
    workspace = os.environ.get(_WORKSPACE, "nothing")
    if deterministic and workspace not in _REPEATABLE:
        raise UserError(
            f"{_WORKSPACE} must be one of {', '.join(_REPEATABLE)} with deterministic=true, got {workspace} in a "
            "process that may have computed on a GPU with it; set it before Python starts"
        )
    # As torch.use_deterministic_algorithms does, without 1.3 seconds of importing a compiler that nothing here uses.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    torch.backends.cudnn.benchmark = False


@cache
def _keep_freed_memory() -> None:
    """Let glibc keep freed memory instead of giving every activation tensor's pages back to the kernel.

    By default each tensor of more than 128 KiB is mapped afresh and its page faults take longer than the convolution
    that fills it: measured on the small CNN, inference is twice as fast with these settings. One arena, because those
    of other threads are given back all the same. What ResNet-18's first layers put out for 128 images of CIFAR-10 is
    32 MiB each, and to map them afresh took a tenth of its inference.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_M_ARENA_MAX, 1)
            for size in _KEPT_UP_TO:
                libc.mallopt(_M_MMAP_THRESHOLD, size)
            libc.mallopt(_M_TRIM_THRESHOLD, 512 * 2**20)


def give_freed_memory_back() -> None:
    """Let glibc give the pages of freed memory to the kernel, so that what a process holds is what it uses."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)


def give_way(niceness: int) -> None:
    """Let this thread, and those it starts, have less of a processor than workers want: 0.4 of a worker's share.

    With much less it could stand still while it holds Python's lock, for which the thread waits that hands out work.

    Args:
        niceness: of the workers, beyond that of this process.
    """
    if sys.platform == "linux":
        wanted = os.getpriority(os.PRIO_PROCESS, os.getpid()) + niceness + _STEPS
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(wanted, _NICEST))


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Run a block of code with ``count`` threads in torch and in numpy's linear algebra.

    The thread count is part of the numbers: sums over another number of threads differ in the last bits.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with _libraries(len(sys.modules)).limit(limits=count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _libraries(num_modules: int) -> ThreadpoolController:
    """Return the loaded linear-algebra libraries, looked up again only if something was imported since.

    The look-up takes longer than a small client's evaluation.
    """
    return ThreadpoolController()
