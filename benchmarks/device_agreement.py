"""How far a GPU's records are from a CPU's: the same small federation on both, metric by metric.

Two rounds of 10 clients × 1,000 Fashion-MNIST examples with the default metrics (without the data set, FEDLAYERS_DATA
or ``--data``, of the digits that come with scikit-learn). Prints for every metric how many values there are and the
median and the largest relative difference, |gpu − cpu| / max(|cpu|, |gpu|). Then it runs on the GPU twice more, with
``deterministic=true``, and compares bytes. Leaves with 1 if a value is missing on one side alone, if a metric's median
is above ``--limit``, or if the bytes differ. Where there is no GPU it says so and leaves with 0.

Usage: ``python benchmarks/device_agreement.py``, or with what else a run takes: ``… algorithm=clustered model=mlp``.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import pandas as pd
import torch

import fedlayers
from fedlayers.config.compose import compose_config
from fedlayers.execution.execute import execute

_DIGITS = ["clients=10", "examples_per_client=150", "model=cnn"]
_IMAGES = ["+dataset=FMNIST", "clients=10", "examples_per_client=1000"]
_KEYS = ["metric", "round", "moment", "step", "owner", "model", "client", "layer", "subject", "variant", "scope"]


def differences(found: pd.DataFrame, expected: pd.DataFrame) -> pd.DataFrame:
    """Return of each metric the number of values, median and largest relative difference, and statuses that differ."""
    sides = [
        table.astype(dict.fromkeys(_KEYS, str)).set_index(_KEYS)[["value", "status"]] for table in (found, expected)
    ]
    both = sides[0].join(sides[1], how="outer", lsuffix="_gpu", rsuffix="_cpu").reset_index()
    size = both[["value_gpu", "value_cpu"]].abs().max(axis=1)
    apart = (both["value_gpu"] - both["value_cpu"]).abs() / size.where(size > 0, 1.0)
    other = both["status_gpu"].astype(str) != both["status_cpu"].astype(str)
    groups = pd.DataFrame({"metric": both["metric"], "apart": apart, "other": other}).groupby("metric")
    return pd.DataFrame(
        {
            "values": groups["apart"].count(),
            "median": groups["apart"].median(),
            "largest": groups["apart"].max(),
            "other status": groups["other"].sum(),
        }
    )


def tables(run: Path) -> dict[str, bytes]:
    """Return the bytes of what a run measured."""
    paths = [path for name in ("records", "pairs", "spectra") for path in sorted((run / name).glob("*.parquet"))]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in paths}


def main() -> None:
    """Run, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("FEDLAYERS_DATA"), help="folder of Fashion-MNIST")
    parser.add_argument("--limit", type=float, default=1e-3, help="largest median that is right")
    parser.add_argument("overrides", nargs="*", help="what else a run takes, as KEY=VALUE")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no GPU here, so there is nothing to compare with the CPU.")
        return
    words = [*_IMAGES, f"data_dir={asked.data}"] if asked.data else _DIGITS
    words = [*words, "rounds=2", "engine=local", "progress=none", "figures=false", *asked.overrides]
    with tempfile.TemporaryDirectory() as results:

        def run(study: str, *more: str) -> Path:
            return execute(compose_config([*words, *more, f"study={study}", f"results_dir={results}"]))

        gpu, cpu = run("gpu", "device=cuda"), run("cpu", "device=cpu")
        found = differences(fedlayers.read(gpu).records, fedlayers.read(cpu).records)
        once, again = (tables(run(study, "device=cuda", "deterministic=true")) for study in ("once", "again"))
    print(found.to_string(float_format=lambda value: f"{value:.1e}"))
    print(f"deterministic=true on one GPU: {'equal bytes' if once == again else 'other bytes'} in two runs")
    agree = not found["other status"].any() and not (found["median"] > asked.limit).any()
    sys.exit(0 if agree and once == again else 1)


if __name__ == "__main__":
    main()
