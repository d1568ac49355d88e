"""One Ray for all runs of this process: started on first use, or a running cluster joined by its address."""

import atexit
import os
import socket
import sys
from pathlib import Path

import psutil
import ray

from fedlayers.core.errors import UserError
from fedlayers.core.machine.allocation import allocated_gpus, allocated_memory, available_cpus
from fedlayers.core.machine.signals import keep_handlers
from fedlayers.engines.ray.private_cluster import as_the_environment_says, nothing_needless, owner_alone
from fedlayers.engines.ray.temporary_folder import ray_folder
from fedlayers.engines.ray.worker_pool import connection, end_kept

# Contents of messages up to this size travel with the call, larger ones through the object store, once for all.
INLINE_BYTES = 2**20
# The same on a cluster that is joined, whose Ray puts what is above 100 kB into the object store anew at every call.
RAYS_INLINE_BYTES = 2**16
_SYSTEM = {
    # Freed objects are let go at once, not once a second: the next phase then reuses their pages, which every process
    # has mapped already. Measured with 100 clients of 0.6 MB: 10 ms a phase instead of 60 to 170.
    "free_objects_period_milliseconds": 0,
    # Small weights travel with calls and answers. Measured with 10 clients of 0.6 MB: a phase takes two thirds of the
    # time. (By default 100 kB; what is larger than that then goes through the object store.)
    "max_direct_call_object_size": 2 * INLINE_BYTES,
}
# Connection of this process to a Ray -> the address it was asked for.
_asked_for: dict[tuple[str, str] | None, str | None] = {}
# What Ray takes of the node's memory for shared objects; in a job, of the job's.
_STORE_SHARE = 0.3


def connect(address: str | None) -> None:
    """Start a Ray of our own, invisible to other jobs on this node, or join the one at ``address``.

    A Ray that this process has is kept if it was asked for in the same way, and left for another one if not. One that
    the user's own program has started or joined is taken as it is.

    Raises:
        UserError: the cluster at ``address`` cannot be reached.
    """
    if ray.is_initialized():
        if _asked_for.get(connection(), address) == address:
            return
        end_kept()
        ray.shutdown()
    _start(address)
    _asked_for[connection()] = address


def _start(address: str | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    with keep_handlers():
        if address is not None:
            try:
                _knock(address)
                as_the_environment_says()
                ray.init(address=address, runtime_env={"env_vars": _passed_on()}, **quiet)
            except (OSError, RuntimeError, ValueError) as error:
                raise UserError(
                    f"engine.address must be the address of a running Ray cluster (or auto), got {address!r}, which "
                    f"did not answer ({str(error).splitlines()[0]}); start one with 'ray start --head' or leave it out"
                ) from None
            return
        folder = Path(ray_folder())
        atexit.register(ray.shutdown)
        with owner_alone(folder) as temporary, nothing_needless():
            ray.init(
                address="local",
                num_cpus=available_cpus(),
                num_gpus=allocated_gpus(),
                object_store_memory=_store_bytes(),
                include_dashboard=False,
                _temp_dir=str(temporary),
                _system_config=_SYSTEM,
                **quiet,
            )


def _passed_on() -> dict[str, str]:
    """Return what workers of a running cluster have to know of this process; a Ray of our own inherits it.

    To that one it is not given: Ray would start other workers than those that it has ready.
    """
    names = ("FLWR_TELEMETRY_ENABLED", "FEDLAYERS_CACHE", "CUBLAS_WORKSPACE_CONFIG")
    found = {name: os.environ[name] for name in names if name in os.environ}
    return found | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}


def _store_bytes() -> int | None:
    """Return the size of the object store: a share of the job's memory; None lets Ray look at the machine's."""
    memory = allocated_memory()
    if memory is None:
        return None
    shared = psutil.disk_usage("/dev/shm").total if Path("/dev/shm").is_dir() else memory
    return max(int(min(_STORE_SHARE * memory, _STORE_SHARE * psutil.virtual_memory().total, 0.9 * shared)), 80 * 2**20)


def _knock(address: str) -> None:
    """Raise OSError at once if nobody listens at ``host:port`` (Ray itself would try for five minutes)."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.removeprefix("ray://"), int(port)), timeout=10).close()
