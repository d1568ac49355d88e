"""Devices and threads."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest
import torch
from threadpoolctl import threadpool_info

from fedlayers.core.errors import UserError
from fedlayers.core.machine.devices import RAYS_NICENESS, give_way, prepare_process, resolve_device, threads


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.mark.parametrize("fails", [False, True], ids=["plain", "exception"])
def test_threads_hold_for_a_block_only(fails: bool) -> None:
    before = torch.get_num_threads(), blas_threads()
    with pytest.raises(ArithmeticError) if fails else threads(1), threads(3):
        assert torch.get_num_threads() == 3
        with threads(1):
            assert torch.get_num_threads() == 1
            assert blas_threads() <= {1}
        assert torch.get_num_threads() == 3
        if fails:
            raise ArithmeticError
    assert (torch.get_num_threads(), blas_threads()) == before


LATE = """
from fedlayers.core.machine.devices import threads
with threads(1):
    pass
import scipy.linalg, sklearn.linear_model
from threadpoolctl import threadpool_info
with threads(1):
    print({pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"})
"""


def test_libraries_loaded_later_are_held_too() -> None:
    # A metric may import scipy, with a linear algebra of its own, long after the first message.
    found = subprocess.run(
        [sys.executable, "-c", LATE],
        env={**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "{1}\n"


AGAIN = """
import ctypes, resource, torch
from fedlayers.core.machine.devices import prepare_process
prepare_process(deterministic=False)
for _ in range(16):  # some memory is left between blocks before the first is used again
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(12 * 2**20)  # 48 MiB
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
taken = ctypes.CDLL(None).mallopt(-3, 64 * 2**20)  # older versions of glibc refuse
print(faults < 1000 or not taken)
"""


def test_the_memory_of_a_large_tensor_is_used_again() -> None:
    found = subprocess.run([sys.executable, "-c", AGAIN], capture_output=True, text=True, check=True)
    assert found.stdout == "True\n"


@pytest.mark.parametrize(
    ("name", "gpu", "expected"),
    [("auto", False, "cpu"), ("auto", True, "cuda"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_a_device_is_what_was_asked_for(name: str, gpu: bool, expected: str) -> None:
    with mock.patch.object(torch.cuda, "is_available", return_value=gpu):
        assert resolve_device(name).type == expected


def test_a_gpu_that_is_not_there_is_named() -> None:
    with (
        mock.patch.object(torch.cuda, "is_available", return_value=False),
        pytest.raises(UserError, match=r"device must be cpu or auto where .* no usable GPU, got 'cuda'; .*client_gpus"),
    ):
        resolve_device("cuda")


def test_a_process_computes_in_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        # Whatever comes first in a process: torch asks once.
        prepare_process(deterministic=False)
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        prepare_process(deterministic=True)
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        assert not torch.backends.cuda.matmul.allow_tf32
        assert not torch.backends.cudnn.allow_tf32
    finally:
        prepare_process(deterministic=False)
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark


@pytest.mark.parametrize(("before", "got"), [(None, "nothing"), (":4096:2:16:8", ":4096:2:16:8")])
def test_a_gpu_that_sums_in_any_order_is_refused(before: str | None, got: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A program that computed on the GPU before: torch has read the setting, and setting it now would be too late.
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    if before is not None:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", before)
    prepare_process(deterministic=False)
    with pytest.raises(UserError, match=f"must be one of :4096:8, :16:8 with deterministic=true, got {got} in a pro"):
        prepare_process(deterministic=True)
    assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == before


@pytest.mark.skipif(sys.platform != "linux", reason="threads of other systems have no niceness of their own")
@pytest.mark.parametrize(("niceness", "steps"), [(0, 4), (RAYS_NICENESS, 19)])
def test_a_thread_gives_way_to_workers_and_no_more_the_second_time(niceness: int, steps: int) -> None:
    def after() -> int:
        give_way(niceness)
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    own = os.getpriority(os.PRIO_PROCESS, os.getpid())
    with ThreadPoolExecutor(1) as pool:
        assert [pool.submit(after).result() for _ in range(2)] == [min(own + steps, 19)] * 2
    assert os.getpriority(os.PRIO_PROCESS, os.getpid()) == own
