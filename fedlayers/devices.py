"""Devices and threads: where tensors live and how many threads a computation uses."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from fedlayers.errors import UserError


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
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def prepare_device(deterministic: bool) -> None:
    """Choose kernels: full float32 always (no TF32), and on request only those whose result never varies."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = False


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Run a block of code with ``count`` threads in torch and in numpy's linear algebra.

    The thread count is part of the numbers: sums over another number of threads differ in the last bits.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
