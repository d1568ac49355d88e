"""Limits of control groups, read from trees as Linux lays them out."""

from pathlib import Path
from unittest import mock

import pytest

from fedlayers.core.machine import allocation
from fedlayers.core.machine.allocation import allocated_memory, available_cpus
from fedlayers.core.machine.cgroup import cpu_quota, memory_limit


def tree(root: Path, group: str, **files: str) -> Path:
    """Make a process's group file and files below ``sys/fs/cgroup``; ``__`` in a name stands for a slash."""
    for name, text in {"proc/self/cgroup": group, **{f"sys/fs/cgroup/{n}": t for n, t in files.items()}}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("group", "files", "cpus", "size"),
    [
        # docker --cpus=2 --memory=4g: the container sees its own group as the root.
        ("0::/\n", {"cpu.max": "200000 100000\n", "memory.max": "4294967296\n"}, 2.0, 2**32),
        ("0::/\n", {"cpu.max": "max 100000\n", "memory.max": "max\n"}, None, None),
        # A service below a slice: the limits of all groups hold.
        ("0::/a/b\n", {"a/cpu.max": "150000 100000\n", "a/b/cpu.max": "300000 100000\n"}, 1.5, None),
        ("0::/a/b\n", {"a/b/memory.max": "1000\n", "a/memory.max": "max\n"}, None, 1000),
        # The path is the host's, which the container does not see.
        ("0::/docker/0123\n", {"cpu.max": "50000 100000\n"}, 0.5, None),
        # Version 1.
        (
            "4:memory:/c\n3:cpu,cpuacct:/c\n",
            {
                "cpu,cpuacct/c/cpu.cfs_quota_us": "250000\n",
                "cpu,cpuacct/c/cpu.cfs_period_us": "100000\n",
                "memory/c/memory.limit_in_bytes": "2048\n",
            },
            2.5,
            2048,
        ),
        (
            "4:memory:/\n3:cpu,cpuacct:/\n",
            {
                "cpu/cpu.cfs_quota_us": "-1\n",
                "cpu/cpu.cfs_period_us": "100000\n",
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            None,
            None,
        ),
        ("nonsense\n", {"cpu.max": "what is this\n"}, None, None),
        ("0::/\n", {"cpu.max": "100000 0\n"}, None, None),
    ],
)
def test_limits_are_read(
    tmp_path: Path, group: str, files: dict[str, str], cpus: float | None, size: int | None
) -> None:
    root = tree(tmp_path, group, **files)
    assert cpu_quota(root) == cpus
    assert memory_limit(root) == size


def test_a_machine_without_control_groups_has_no_limits(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None and memory_limit(tmp_path) is None


@pytest.mark.parametrize(("quota", "cpus"), [(None, 64), (2.0, 2), (2.9, 2), (0.5, 1), (100.0, 64)])
def test_a_container_starts_as_many_workers_as_its_quota_holds(quota: float | None, cpus: int) -> None:
    with (
        mock.patch.object(allocation, "cpu_quota", return_value=quota),
        mock.patch("os.sched_getaffinity", return_value=set(range(64))),
        mock.patch.dict("os.environ", clear=True),
    ):
        assert available_cpus() == cpus


def test_memory_is_the_least_of_container_and_job() -> None:
    job = {"SLURM_JOB_ID": "7", "SLURM_MEM_PER_NODE": "1000"}
    with mock.patch.dict("os.environ", job, clear=True):
        for limit, expected in ((None, 1000), (500, 500), (4000, 1000)):
            size = None if limit is None else limit * 2**20
            with mock.patch.object(allocation, "memory_limit", return_value=size):
                assert allocated_memory() == expected * 2**20
