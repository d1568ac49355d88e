"""A real SLURM cluster of one node: this machine, with daemons of its own from Debian's slurm-wlm and munge."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=5
SchedulerParameters=sched_interval=2,batch_sched_delay=1
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=8000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def slurm_cluster() -> Iterator[dict[str, str]]:
    """Run a cluster for a block of code; yield the environment in which its commands find it.

    Where it cannot be had, the test is skipped, or in CI failed, with the reason.
    """
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing or os.geteuid() != 0:
        need = "root" if not missing else f"{', '.join(missing)} (Debian: apt-get install slurm-wlm munge)"
        (pytest.fail if "FEDLAYERS_CI" in os.environ else pytest.skip)(f"a SLURM cluster of one node needs {need}")
    # Unix sockets have short names only.
    folder = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp"))
    try:
        environment = _start(folder)
        yield environment
    finally:
        _stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path) -> dict[str, str]:
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    files = {"socket": "munge.socket", "pid-file": "munged.pid", "log-file": "munged.log", "seed-file": "munge.seed"}
    options = [f"--{option}={folder / name}" for option, name in files.items()]
    subprocess.run(["munged", "--force", f"--key-file={key}", *options], check=True, capture_output=True)
    host = socket.gethostname().partition(".")[0]
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(host=host, ports=_free_ports(2), folder=folder))
    for daemon in ("slurmctld", "slurmd"):
        subprocess.run([daemon, "-f", str(configuration)], check=True, capture_output=True)
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    deadline = time.monotonic() + 60
    while "idle" not in _ask(["sinfo", "--noheader", "--format=%T"], environment):
        if time.monotonic() > deadline:
            pytest.fail(f"the node never came up:\n{(folder / 'slurmctld.log').read_text()[-3000:]}")
        time.sleep(0.2)
    return environment


def _ask(command: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout


def _stop(folder: Path) -> None:
    """End jobs and daemons; what they started carries the configuration's path in its environment."""
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and str(folder) in process.environ().get("SLURM_CONF", ""):
                process.kill()
        except psutil.Error:
            continue
    for name in ("slurmd.pid", "slurmctld.pid", "munged.pid"):
        path = folder / name
        if path.exists():
            try:
                os.kill(int(path.read_text()), signal.SIGKILL)
            except (ProcessLookupError, ValueError):
                continue


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
