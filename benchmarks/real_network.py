"""What measuring a real network costs: ResNet-18 (11 M weights) on CIFAR-10, processor seconds and memory by metric.

10 clients × 50 images, two rounds, both measured. The program runs without metrics, then with one metric at a time,
then with all; each time is a run of its own, whose processor seconds and memory are those of the program and all its
workers: user and system time, and the peak of the sum of proportional set sizes (shared pages counted once), sampled
every 0.5 s. What a run takes that trains on a single image counts as ``start`` and is taken away from all. Leaves
with 1 if all metrics together take more than 3 GiB, or more than six and a half times what training takes. Without
the data set (FEDLAYERS_DATA or ``--data``) it takes noise of the same shape, which costs the same.

Training on 40 images is worth 120 forward passes of one. The probe's 128 are at least those; gradients of single
examples take a forward and two backward halves and one more, most of it, to relate them to their mean, at two moments.
So about four and a half times training is the floor of these metrics, and the server's own passes are 0.2 more.

Usage: ``python benchmarks/real_network.py`` in one process, with ``--engine engine=ray engine.workers=2`` in three, or
the default metrics but curvature with 20 clients: ``python benchmarks/real_network.py --clients 20 --limit-gib 6
--limit-ratio 30 --together --metrics evaluation weights gradients sensitivity similarity representation``.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from fedlayers.data.source import Arrays, DatasetFacts

_SAMPLED_S = 0.5


class Noise:
    """Coloured noise in ten classes, in the shape of CIFAR-10, with a test set of a fifth of it."""

    def files(self, root: Path) -> Sequence[Path]:
        """Return no files."""
        return ()

    def read(self, root: Path) -> Arrays:
        """Return images, shape (10000, 3, 32, 32)."""
        generator = np.random.default_rng(0)
        images = generator.integers(0, 256, (10_000, 3, 32, 32)).astype(np.uint8)
        facts = DatasetFacts(tuple("0123456789"), 2000, mean=(127.5,) * 3, std=(73.9,) * 3)
        return Arrays(images, generator.integers(0, 10, len(images)), facts)


@dataclass(frozen=True)
class Cost:
    """What one run cost.

    Attributes:
        cpu_s: processor seconds of the program and its workers.
        peak_gib: memory of the program and its workers.
    """

    cpu_s: float
    peak_gib: float


def cost(job: Sequence[str], data: str | None) -> Cost:
    """Carry out a run; return its cost."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        places = [f"results_dir={folder}", *([f"data_dir={data}"] if data else [])]
        command = [sys.executable, "-m", "fedlayers", *job, *places, "figures=false", "progress=none"]
        process = psutil.Popen(command, stdout=subprocess.DEVNULL, cwd=Path(__file__).parent, env=environment)
        peak, spent = 0.0, dict[tuple[int, float], float]()
        while process.poll() is None:
            found = list(family(process))
            peak = max(peak, sum(pss for _, _, pss in found))
            spent |= {key: cpu for key, cpu, _ in found}
            time.sleep(_SAMPLED_S)
        if process.returncode:
            sys.exit(f"the run failed: {' '.join(command)}")
    return Cost(sum(spent.values()), peak)


def family(process: psutil.Process) -> Iterator[tuple[tuple[int, float], float, float]]:
    """Yield who it is, processor seconds and proportional set size in GiB of a process and all below it."""
    members: list[psutil.Process] = [process]
    with contextlib.suppress(psutil.Error):
        members += process.children(recursive=True)
    for member in members:
        with contextlib.suppress(psutil.Error):
            times = member.cpu_times()
            key = (member.pid, member.create_time())
            yield key, times.user + times.system, member.memory_full_info().pss / 2**30


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--examples", type=int, default=50, help="images a client")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--metrics", nargs="+", default=["weights", "gradients", "similarity"])
    parser.add_argument("--engine", nargs="+", default=["engine=local"], help="settings of it")
    parser.add_argument("--more", nargs="*", default=[], help="further settings, such as model.width=32")
    parser.add_argument("--data", default=os.environ.get("FEDLAYERS_DATA"), help="the folder that has CIFAR-10")
    parser.add_argument("--limit-gib", type=float, default=3.0)
    parser.add_argument("--limit-ratio", type=float, default=6.5, help="the run with all metrics, in its training")
    parser.add_argument("--together", action="store_true", help="all metrics together only, not each by itself")
    return parser.parse_args()


def main() -> None:
    """Print a line for each metric and for all; leave with 1 if a limit is broken."""
    chosen = arguments()
    noise = ["dataset.name=noise", "dataset._target_=real_network.Noise"]
    job = ["+dataset=CIFAR10", *([] if chosen.data else noise), "model=resnet18_gn", f"clients={chosen.clients}"]
    job += [f"examples_per_client={chosen.examples}", f"rounds={chosen.rounds}", *chosen.engine, *chosen.more]
    start = cost([*job, "metrics=[]", "training.steps=1", "training.batch_size=1"], chosen.data)
    print(f"{'start':20} {start.cpu_s:7.1f} s  {start.peak_gib:6.2f} GiB", flush=True)
    parts = [] if chosen.together else [[name] for name in chosen.metrics]
    spent = []
    for metrics in [[], *parts, chosen.metrics]:
        found = cost([*job, f"metrics=[{','.join(metrics)}]"], chosen.data)
        spent.append(found.cpu_s - start.cpu_s)
        name = "all" if metrics is chosen.metrics else "".join(metrics) or "training alone"
        own = f"{spent[-1] - spent[0]:7.1f} s more than training" if metrics else ""
        print(f"{name:20} {spent[-1]:7.1f} s  {found.peak_gib:6.2f} GiB  {own}", flush=True)
    ratio = spent[-1] / spent[0]
    print(f"all in training: {ratio:.1f} (at most {chosen.limit_ratio}), {found.peak_gib:.2f} GiB ({chosen.limit_gib})")
    sys.exit(ratio > chosen.limit_ratio or found.peak_gib > chosen.limit_gib)


if __name__ == "__main__":
    main()
