"""Whether rounds grow with the rounds before them: 500 of them, the last hundred against the first hundred.

20 of 600 clients train a round on one step, by FedAvg and by ``local``, which keeps a state for every client that has
trained. Medians of the processor's seconds that a round takes in all threads (the clock's are printed, too), of the
process's memory, and of what a round adds to the folder. Leaves with 1 if one of them has grown by more than the
limit. Usage: ``python benchmarks/many_rounds.py [rounds]``.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

import fedlayers
from fedlayers.execution.rounds import RoundLoop

LIMIT = 1.15
# What a process does once is done in these.
WARM_UP = 10
JOB = [
    "dataset=digits", "partition=iid", "clients=600", "fraction=0.034", "split.val=0", "split.train=0.9",
    "model.hidden=[16]", "training.steps=1", "metrics=[evaluation]", "metrics.evaluation.splits=[train]",
    "engine=local", "figures=false", "progress=none", "surveyed_clients=20",
]  # fmt: skip


@contextmanager
def timed_rounds() -> Iterator[tuple[list[float], list[float]]]:
    """Yield two lists, to which every round of a run in this process adds the processor's seconds and the clock's."""
    cpu_s: list[float] = []
    wall_s: list[float] = []
    original = RoundLoop._round

    def timed(loop: RoundLoop, server_round: int) -> None:
        cpu, wall = time.process_time(), time.perf_counter()
        original(loop, server_round)
        cpu_s.append(time.process_time() - cpu)
        wall_s.append(time.perf_counter() - wall)

    with mock.patch.object(RoundLoop, "_round", timed):
        yield cpu_s, wall_s


def growth(name: str, values: Sequence[float], counts: bool = True) -> float:
    """Print medians of the first and the last fifth of the rounds and return their ratio, 1 if it does not count."""
    fifth = len(values) // 5
    first, last = (
        statistics.median(part) for part in (values[WARM_UP : WARM_UP + fifth], values[len(values) - fifth :])
    )
    print(f"{name:28s} first {first:10.3f}   last {last:10.3f}   ratio {last / first:.2f}", flush=True)
    return last / first if counts else 1.0


def measured(algorithm: str, rounds: int) -> list[float]:
    """Return by how much rounds grow: their seconds, the process's memory, what is written."""
    with tempfile.TemporaryDirectory() as folder, timed_rounds() as (cpu_s, wall_s):
        words = [*JOB, f"rounds={rounds}", f"algorithm={algorithm}", f"results_dir={folder}", "study=s"]
        tables = fedlayers.run(words)
        memory = tables.resources[tables.resources["metric"] == "server_memory"].sort_values("round")
        in_rounds = memory[memory["moment"] == "after_aggregate"]
        parts = sorted((tables.runs[0] / "records").glob("round=*.parquet"))[1:]
        sizes = [part.stat().st_size / 1024 for part in parts]
    return [
        growth(f"{algorithm}: processor, s", cpu_s),
        growth(f"{algorithm}: clock, s", wall_s, counts=False),
        growth(f"{algorithm}: memory, MiB", (in_rounds["value"] / 2**20).tolist()),
        growth(f"{algorithm}: records, KiB", sizes),
    ]


def main() -> None:
    """Print the medians and their ratios."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    ratios = [ratio for algorithm in ("fedavg", "local") for ratio in measured(algorithm, rounds)]
    sys.exit(max(ratios) > LIMIT)


if __name__ == "__main__":
    main()
