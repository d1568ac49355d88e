"""Peak memory of a run with 1,000 registered clients against one with 50, both training the same 50 a round.

Each run is a process of its own; its memory is the proportional set size (shared pages counted once) of the process and
all its children, the peak of samples 0.2 s apart. Needs FMNIST (FEDLAYERS_DATA). Usage:
``python benchmarks/registered_clients.py``.
"""

import contextlib
import subprocess
import sys
import tempfile
import time

import psutil

LIMIT = 1.10
EXAMPLES = 60
JOB = ["+dataset=FMNIST", "partition=iid", f"examples_per_client={EXAMPLES}", "rounds=8", "model=cnn", "engine=ray"]
QUIET = ["engine.workers=2", "figures=false", "progress=none", "metrics=[evaluation]"]


def peak_mib(*overrides: str) -> float:
    """Return the peak memory of one run in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "fedlayers", *JOB, *QUIET, *overrides, f"results_dir={folder}"]
        process = psutil.Popen(command, stdout=subprocess.DEVNULL)
        peak = 0.0
        while process.poll() is None:
            family: list[psutil.Process] = [process]
            with contextlib.suppress(psutil.Error):
                family += process.children(recursive=True)
            peak = max(peak, sum(map(memory_mib, family)))
            time.sleep(0.2)
    if process.returncode:
        sys.exit(f"the run failed: {' '.join(command)}")
    return peak


def memory_mib(process: psutil.Process) -> float:
    """Return a process's proportional set size in MiB, 0 if it has ended."""
    try:
        return float(process.memory_full_info().pss) / 2**20
    except psutil.Error:
        return 0.0


def main() -> None:
    """Print both peaks and their ratio; leave with 1 if it is above the limit."""
    few, many = peak_mib("clients=50"), peak_mib("clients=1000", "fraction=0.05")
    print(f"50 registered: {few:.0f} MiB; 1,000 registered: {many:.0f} MiB; ratio {many / few:.2f} (at most {LIMIT})")
    sys.exit(many / few > LIMIT)


if __name__ == "__main__":
    main()
