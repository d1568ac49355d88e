"""Whether rounds grow with the rounds before them: 500 of them, the last hundred against the first hundred.

20 of 600 clients train a round on one step, by FedAvg and by ``local``, which keeps a state for every client that has
trained. Medians of a round's seconds (the writing of the round before included where a round waits for it), the
process's memory, and what a round adds to the folder. Leaves with 1 if one of them has grown by more than the limit.
Usage: ``python benchmarks/many_rounds.py [rounds]``.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

import fedlayers

LIMIT = 1.15
JOB = [
    "dataset=digits", "partition=iid", "clients=600", "fraction=0.034", "split.val=0", "split.train=0.9",
    "model.hidden=[16]", "training.steps=1", "metrics=[evaluation]", "metrics.evaluation.splits=[train]",
    "engine=local", "figures=false", "progress=none", "surveyed_clients=20",
]  # fmt: skip


def growth(algorithm: str, rounds: int) -> dict[str, float]:
    """Return name -> how much larger the last fifth of the rounds is than the first."""
    with tempfile.TemporaryDirectory() as folder:
        words = [*JOB, f"rounds={rounds}", f"algorithm={algorithm}", f"results_dir={folder}", "study=s"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(
            [sys.executable, "-m", "fedlayers", *words], check=True, stdout=subprocess.DEVNULL, env=environment
        )
        [run] = [path for path in (Path(folder) / "s").iterdir() if (path / "run.json").is_file()]
        resources = fedlayers.read(run).resources
        of_round = resources[resources["moment"] == "after_aggregate"]
        sizes = pd.Series(
            {int(part.stem.split("=")[1]): part.stat().st_size for part in run.glob("records/round=*.parquet")}
        )
    fifth = rounds // 5
    measured = {
        "seconds": of_round[of_round["metric"] == "round_s"].set_index("round")["value"],
        "memory": of_round[of_round["metric"] == "server_memory"].set_index("round")["value"],
        "bytes of records": sizes[sizes.index > 0],
    }
    found = {}
    for name, values in measured.items():
        ordered = values.sort_index().tolist()
        # Not the first ten: what a process does once is done in them.
        first, last = (statistics.median(part) for part in (ordered[10 : 10 + fifth], ordered[-fifth:]))
        print(f"{algorithm:8s} {name:16s} first {first:10.3f}   last {last:10.3f}   ratio {last / first:.2f}")
        found[name] = last / first
    return found


def main() -> None:
    """Print the medians and their ratios."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    ratios = [ratio for algorithm in ("fedavg", "local") for ratio in growth(algorithm, rounds).values()]
    sys.exit(max(ratios) > LIMIT)


if __name__ == "__main__":
    main()
