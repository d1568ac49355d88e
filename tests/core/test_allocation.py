"""CPUs, GPUs and memory of a job, read from what SLURM sets."""

import os
from collections.abc import Mapping
from unittest import mock

import pytest
import torch

from fedlayers.core.machine import allocation
from fedlayers.core.machine.allocation import CPUS, allocated_gpus, allocated_memory, available_cpus
from fedlayers.core.machine.devices import resolve_device
from fedlayers.engines.ray.cluster import _store_bytes

NAMES = ("SLURM_", "CUDA_VISIBLE_DEVICES", CPUS)


@pytest.fixture(autouse=True)
def no_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out limits of the machine that runs the tests."""
    monkeypatch.setattr(allocation, "cpu_quota", lambda: None)
    monkeypatch.setattr(allocation, "memory_limit", lambda: None)


def environment(**variables: str) -> "mock._patch_dict":
    """Replace what decides the allocation by these variables."""
    rest = {name: value for name, value in os.environ.items() if not name.startswith(NAMES)}
    return mock.patch.dict(os.environ, {**rest, **variables}, clear=True)


@pytest.mark.parametrize(
    ("variables", "cpus"),
    [
        ({}, 16),
        ({"SLURM_CPUS_ON_NODE": "4"}, 16),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "4"}, 4),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "8", "SLURM_CPUS_PER_TASK": "2"}, 2),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "64"}, 16),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "nonsense"}, 16),
        ({CPUS: "3"}, 3),
        ({CPUS: "3", "SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "2"}, 2),
    ],
)
def test_cpus_are_those_of_the_job(variables: Mapping[str, str], cpus: int) -> None:
    with environment(**variables), mock.patch.object(os, "sched_getaffinity", return_value=set(range(16))):
        assert available_cpus() == cpus


@pytest.mark.parametrize(
    ("variables", "gpus"),
    [
        ({}, None),
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, None),
        ({"SLURM_JOB_ID": "7"}, 0),
        ({"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "2,5"}, 2),
        ({"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": ""}, 0),
        ({"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "NoDevFiles"}, 0),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": "3"}, 1),
        ({"SLURM_JOB_ID": "7", "SLURM_GPUS_ON_NODE": "4"}, 4),
    ],
)
def test_gpus_are_those_of_the_job_and_no_more(variables: Mapping[str, str], gpus: int | None) -> None:
    with environment(**variables):
        assert allocated_gpus() == gpus


@pytest.mark.parametrize(
    ("variables", "megabytes"),
    [
        ({"SLURM_MEM_PER_NODE": "4000"}, None),
        ({"SLURM_JOB_ID": "7"}, None),
        ({"SLURM_JOB_ID": "7", "SLURM_MEM_PER_NODE": "0"}, None),
        ({"SLURM_JOB_ID": "7", "SLURM_MEM_PER_NODE": "4000"}, 4000),
        ({"SLURM_JOB_ID": "7", "SLURM_MEM_PER_CPU": "1000", "SLURM_CPUS_ON_NODE": "3"}, 3000),
    ],
)
def test_memory_is_that_of_the_job(variables: Mapping[str, str], megabytes: int | None) -> None:
    with environment(**variables):
        assert allocated_memory() == (None if megabytes is None else megabytes * 2**20)


def test_ray_keeps_its_objects_in_the_memory_of_the_job() -> None:
    with environment():
        assert _store_bytes() is None
    with environment(SLURM_JOB_ID="7", SLURM_MEM_PER_NODE="1000"):
        assert _store_bytes() == 300 * 2**20


def test_a_job_without_gpus_leaves_those_of_its_node_alone() -> None:
    with mock.patch.object(torch.cuda, "is_available", return_value=True):
        with environment(SLURM_JOB_ID="7"):
            assert resolve_device("auto").type == "cpu"
        with environment(SLURM_JOB_ID="7", SLURM_GPUS_ON_NODE="1"):
            assert resolve_device("auto").type == "cuda"
        with environment():
            assert resolve_device("auto").type == "cuda"
