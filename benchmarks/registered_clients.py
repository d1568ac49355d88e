"""What registered clients cost before they are sampled: 1,000, 10,000 and 100,000, of which 50 train a round.

Made-up images of 8×8 pixels, five a client. Each run is a process of its own; its memory is the proportional set size
(shared pages counted once) of the process and all its children, the peak of samples 0.2 s apart. ``start`` and
``final`` evaluate 50 clients (``surveyed_clients``). The partition is prepared before, which is timed apart, as it
is kept for all runs that share it. Leaves with 1 if a round, its memory or its disk is above the limit. Usage:
``python benchmarks/registered_clients.py [--engine ray] [--algorithm local]``.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

import fedlayers
from fedlayers.data.source import Arrays, DatasetFacts

LIMIT = 1.2
CLIENTS = (1_000, 10_000, 100_000)
SAMPLED, EXAMPLES, ROUNDS = 50, 5, 12
SPLIT = ["split.train=0.6", "split.val=0.2", "split.test=0.2"]
DATA = ["dataset=digits", "dataset.name=made-up", "dataset._target_=registered_clients.MadeUp", "partition=iid"]
QUIET = ["figures=false", "progress=none", "metrics=[evaluation]", "model=mlp", f"surveyed_clients={SAMPLED}"]


class MadeUp:
    """Noise in ten classes, enough of it for five examples of every client."""

    def files(self, root: Path) -> Sequence[Path]:
        """Return no files."""
        return ()

    def read(self, root: Path) -> Arrays:
        """Return images, shape (501000, 1, 8, 8), a thousand of them for the server."""
        generator, count = np.random.default_rng(0), max(CLIENTS) * EXAMPLES + 1000
        images = generator.integers(0, 17, (count, 1, 8, 8)).astype(np.uint8)
        return Arrays(
            images, generator.integers(0, 10, count), DatasetFacts(tuple("0123456789"), 1000, mean=(8.0,), std=(5.0,))
        )


@dataclass(frozen=True)
class Cost:
    """What one run cost.

    Attributes:
        partition_s: seconds to hand the examples out, once for all runs that do so in the same way.
        start_s: seconds from the start of the process to its first round, without those.
        round_s: the median round.
        peak_mib: memory of the process and its workers.
        round_kib: what a round added to the run's folder, on average.
        folder_kib: the folder in the end.
    """

    partition_s: float
    start_s: float
    round_s: float
    peak_mib: float
    round_kib: float
    folder_kib: float


def cost(clients: int, engine: str, algorithm: str, folder: Path) -> Cost:
    """Return what a run with so many registered clients costs."""
    job = [*DATA, *SPLIT, *QUIET, f"clients={clients}", f"fraction={SAMPLED / clients}", f"engine={engine}"]
    job += [f"examples_per_client={EXAMPLES}", f"algorithm={algorithm}"]
    environment = {**os.environ, "FEDLAYERS_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "fedlayers", *job, f"results_dir={folder}"]
    first_s, _ = run([*command, "rounds=1", "study=first"], environment)
    again_s, _ = run([*command, "rounds=1", "study=again"], environment)
    seconds, peak = run([*command, f"rounds={ROUNDS}", f"study=registered-{clients}"], environment)
    resources = fedlayers.read(folder / f"registered-{clients}").resources
    spent = resources[resources["metric"] == "round_s"]
    rounds = spent[spent["moment"] == "after_aggregate"]["value"].tolist()
    [place] = [path for path in (folder / f"registered-{clients}").iterdir() if (path / "run.json").is_file()]
    parts = [path for path in place.rglob("*round=*.parquet") if "round=000000" not in path.name]
    return Cost(
        first_s - again_s,
        seconds - float(spent["value"].sum()),
        statistics.median(rounds),
        peak,
        sum(path.stat().st_size for path in parts) / ROUNDS / 1024,
        sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) / 1024,
    )


def run(command: Sequence[str], environment: dict[str, str]) -> tuple[float, float]:
    """Carry out one run; return its seconds and its peak memory in MiB."""
    began = time.perf_counter()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, cwd=Path(__file__).parent, env=environment)
    peak = 0.0
    while process.poll() is None:
        family: list[psutil.Process] = [process]
        with contextlib.suppress(psutil.Error):
            family += process.children(recursive=True)
        peak = max(peak, sum(map(memory_mib, family)))
        time.sleep(0.2)
    if process.returncode:
        sys.exit(f"the run failed: {' '.join(command)}")
    return time.perf_counter() - began, peak


def memory_mib(process: psutil.Process) -> float:
    """Return a process's proportional set size in MiB, 0 if it has ended."""
    try:
        return float(process.memory_full_info().pss) / 2**20
    except psutil.Error:
        return 0.0


def main() -> None:
    """Print a line for each number of clients and the ratios of the largest to the smallest."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", default="ray")
    parser.add_argument("--algorithm", default="fedavg", help="local keeps a state for every client that has trained")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        costs = {clients: cost(clients, chosen.engine, chosen.algorithm, Path(folder)) for clients in CLIENTS}
    print("clients   partition   start    round    peak        disk a round   folder")
    for clients, one in costs.items():
        print(
            f"{clients:7,}   {one.partition_s:7.1f} s {one.start_s:6.1f} s {1000 * one.round_s:6.0f} ms "
            f"{one.peak_mib:6.0f} MiB {one.round_kib:10.1f} KiB {one.folder_kib:8.0f} KiB"
        )
    few, many = costs[min(CLIENTS)], costs[max(CLIENTS)]
    ratios = {
        name: getattr(many, name) / getattr(few, name) for name in ("round_s", "peak_mib", "round_kib", "folder_kib")
    }
    print("  ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()), f"(each at most {LIMIT})")
    sys.exit(any(ratio > LIMIT for ratio in ratios.values()))


if __name__ == "__main__":
    main()
