"""What of this machine the program may use: the share of its job or container, else what the system gives it."""

import os
import re

from fedlayers.core.machine.cgroup import cpu_quota, memory_limit

# Set by the launchers for the processes that share this machine.
CPUS = "FEDLAYERS_CPUS"


def available_cpus() -> int:
    """Return the number of CPUs this process may use, 1 or more.

    The least of four: its affinity, the quota of its container, what SLURM has allocated to the job on this node (which
    binds processes to it only on clusters that are set up so), and the share of a process among several of one sweep.
    """
    counts = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    quota = cpu_quota()
    counts += [int(quota)] if quota is not None else []
    slurm = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE") if in_job() else ()
    counts += [count for name in (CPUS, *slurm) if (count := _whole(name))]
    return max(1, min(counts))


def allocated_gpus() -> int | None:
    """Return the number of GPUs that SLURM has allocated to the job on this node; None outside a job.

    On clusters that do not hide the others a job without GPUs would see, and use, all of the node's.
    """
    if not in_job():
        return None
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS"):
        if name in os.environ:
            return len([entry for entry in re.split("[, ]+", os.environ[name]) if entry and entry != "NoDevFiles"])
    return _whole("SLURM_GPUS_ON_NODE") or 0


def allocated_memory() -> int | None:
    """Return the bytes of memory this process may use: of its container, of its SLURM job; None if neither says."""
    limits = [limit for limit in (memory_limit(), _job_memory()) if limit is not None]
    return min(limits, default=None)


def _job_memory() -> int | None:
    if not in_job():
        return None
    whole = _whole("SLURM_MEM_PER_NODE")
    if whole:
        return whole * 2**20
    each = _whole("SLURM_MEM_PER_CPU")
    return each * (_whole("SLURM_CPUS_ON_NODE") or 1) * 2**20 if each else None


def in_job() -> bool:
    """Say whether this process belongs to a SLURM job."""
    return "SLURM_JOB_ID" in os.environ


def _whole(name: str) -> int | None:
    """Return an environment variable's number, None if there is none (or 0, by which SLURM means everything)."""
    text = os.environ.get(name, "")
    return int(text) or None if text.isdigit() else None
