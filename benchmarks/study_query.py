"""What it costs to ask a large study.parquet: run with ``python benchmarks/study_query.py [--runs 200]``.

A made-up study of 200 runs × 100 rounds × 20 clients × 10 layers × 10 metrics (40 million records) is aggregated as
any other; docs/how-to/large-studies.md has the questions in full. Every question is asked in processes of their own,
with the file in the system's cache, the tools in turns: least time, largest peak memory (libraries included), bytes
read. The tools must agree. DuckDB and polars are left out if they are not installed (``pip install duckdb polars``).
The exit status is 1 if pandas reads more than a fifth of the file for one metric, or needs more than 1 GiB for it.
Linux only; takes some minutes and 2 GB in the temporary folder.
"""

import argparse
import importlib
import importlib.util
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset  # pandas needs it to read with filters: its import is no part of a question's time
import pyarrow.parquet as pq

from fedlayers.core.records import SCHEMAS
from fedlayers.studies.aggregate import aggregate

RUNS, ROUNDS, CLIENTS = 200, 100, 20
ALGORITHMS = ("fedadam", "fedavg", "fedprox", "scaffold")
RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
LAYERS = ("head", *(f"stage{s}.{b}.conv{c}" for s in (1, 2) for b in (0, 1) for c in (1, 2)), "stem.conv")
ESTIMATED = ("gradient_noise_scale", "gradient_norm", "gradient_variance_examples", "hessian_trace")
METRICS = ("drift", *ESTIMATED, "mean_abs_weight", "norm", "update_cosine", "update_norm", "weight_variance")
QUESTIONS = {
    "final": "one metric in the last round, mean over clients by run and layer",
    "curve": "one metric, mean over clients by algorithm, layer and round",
    "layer": "one metric of one layer, every value",
    "every": "every metric, mean by layer and round",
}
REPEATS = 3
LARGEST_SHARE, LIMIT_MIB = 0.2, 1024
Condition = tuple[str, str, str | int]


@dataclass(frozen=True)
class Answer:
    """What one question cost in a process of its own, and what came out: rows and the sum of their values."""

    seconds: float
    peak_mib: float
    read_mib: float
    rows: int
    total: float


def texts(values: Sequence[str], codes: np.ndarray, absent: np.ndarray | None = None) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32), mask=absent), pa.array(values))


def records_of(server_round: int, generator: np.random.Generator) -> pa.Table:
    """Return the records of one round in the order in which a run writes them; one in a hundred is missing."""
    count = CLIENTS * len(LAYERS) * len(METRICS)
    client, layer, metric = (place.ravel() for place in np.indices((CLIENTS, len(LAYERS), len(METRICS))))
    estimated = np.isin(metric, [METRICS.index(name) for name in ESTIMATED])
    lost = generator.random(count) < 0.01
    value = generator.lognormal(0, 0.3, count) * 10.0 ** (-0.2 * layer) / (1 + metric) / math.sqrt(server_round)
    value[lost] = math.nan
    none = np.zeros(count)
    columns = {
        "run": texts([""], none),
        "round": pa.array(np.full(count, server_round, np.int32)),
        "moment": texts(["after_local"], none),
        "owner": texts(["client"], none),
        "model": texts(["global"], none),
        "client": pa.array(client.astype(np.int32)),
        "layer": texts(LAYERS, layer),
        "layer_index": pa.array(layer.astype(np.int32)),
        "metric": texts(METRICS, metric),
        "scope": texts(["client_train"], none, ~estimated),
        "value": pa.array(value),
        "stderr": pa.array(value * generator.uniform(0.01, 0.1, count), mask=~estimated | lost),
        "n": pa.array(np.full(count, 512), mask=~estimated),
        "chance": pa.array(generator.normal(0, 0.01, count), mask=metric != METRICS.index("update_cosine")),
        "status": texts(["ok", "missing"], lost),
        "reason": texts(["the update is zero"], none, ~lost),
    }
    schema = SCHEMAS["records"]
    return pa.table({f.name: columns.get(f.name, pa.nulls(count, f.type)) for f in schema}, schema=schema)


def write_run(study: Path, index: int) -> None:
    """Write the folder of a complete run."""
    rate, algorithm, seed = RATES[index % 5], ALGORITHMS[index // 5 % 4], index // 20
    folder = study / f"FMNIST-{algorithm}-s{seed}-{index:010x}"
    (folder / "records").mkdir(parents=True)
    generator = np.random.default_rng(index)
    for server_round in range(1, ROUNDS + 1):
        part = folder / "records" / f"round={server_round:06d}.parquet"
        pq.write_table(records_of(server_round, generator), part, compression="zstd")
    stretch = {"host": f"node{index % 3}", "device": "cpu", "versions": {"torch": "2.13.0", "flwr": "1.42.0"}}
    facts = {
        "run": folder.name, "dataset": "FMNIST", "partition": "dirichlet", "model": "resnet10", "engine": "local",
        "algorithm": algorithm, "seed": seed, "clients": CLIENTS, "rounds": ROUNDS, "parameters": 78_000,
        "wall_s": 900.0 + index, "stretches": [stretch],
    }  # fmt: skip
    config = {"seed": seed, "training": {"lr": rate}, "algorithm": {"name": algorithm}}
    for name, content in (("run.json", facts), ("config.yaml", config), ("done.json", {})):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


def with_pandas(file: Path) -> dict[str, Callable[[], pd.DataFrame]]:
    usable = [("moment", "==", "after_local"), ("status", "==", "ok")]
    one: list[Condition] = [("metric", "==", "update_norm"), *usable]

    def means(by: list[str], filters: list[Condition]) -> pd.DataFrame:
        frame = pd.read_parquet(file, columns=[*by, "value"], filters=filters)
        return frame.groupby(by, observed=True)["value"].mean().reset_index()

    def every() -> pd.DataFrame:
        return pd.concat([means(["layer", "round"], [("metric", "==", name), *usable]) for name in METRICS])

    return {
        "final": lambda: means(["run", "layer"], [*one, ("round", "==", ROUNDS)]),
        "curve": lambda: means(["algorithm", "layer", "round"], one),
        "layer": lambda: pd.read_parquet(
            file, columns=["run", "round", "client", "value"], filters=[*one, ("layer", "==", "head")]
        ),
        "every": every,
    }


def frame_of(duckdb: Any, sql: str) -> pd.DataFrame:
    found: pd.DataFrame = duckdb.sql(sql).df()
    return found


def with_duckdb(file: Path) -> dict[str, Callable[[], pd.DataFrame]]:
    duckdb = importlib.import_module("duckdb")
    usable = "moment = 'after_local' AND status = 'ok'"
    one = f"FROM '{file}' WHERE metric = 'update_norm' AND {usable}"
    # DuckDB 2.0 reads the file once for every metric if these conditions stand in WHERE and metrics are grouped.
    mean = f"avg(value) FILTER (WHERE {usable}) AS value"
    questions = {
        "final": f"SELECT run, layer, avg(value) AS value {one} AND round = {ROUNDS} GROUP BY ALL",
        "curve": f"SELECT algorithm, layer, round, avg(value) AS value {one} GROUP BY ALL",
        "layer": f"SELECT run, round, client, value {one} AND layer = 'head'",
        "every": f"SELECT metric, layer, round, {mean} FROM '{file}' GROUP BY ALL",
    }
    return {name: partial(frame_of, duckdb, sql) for name, sql in questions.items()}


def with_polars(file: Path) -> dict[str, Callable[[], Any]]:
    pl = importlib.import_module("polars")
    usable = pl.scan_parquet(file).filter(pl.col("moment") == "after_local", pl.col("status") == "ok")
    one = usable.filter(pl.col("metric") == "update_norm")
    mean = pl.col("value").mean()
    questions = {
        "final": one.filter(pl.col("round") == ROUNDS).group_by("run", "layer").agg(mean),
        "curve": one.group_by("algorithm", "layer", "round").agg(mean),
        "layer": one.filter(pl.col("layer") == "head").select("run", "round", "client", "value"),
        "every": usable.group_by("metric", "layer", "round").agg(mean),
    }
    return {name: partial(plan.collect, engine="streaming") for name, plan in questions.items()}


TOOLS = {"pandas": with_pandas, "duckdb": with_duckdb, "polars": with_polars}


def counter(file: str, name: str) -> int:
    """Return one of this process's counters in /proc."""
    lines = Path(f"/proc/self/{file}").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def answer(tool: str, question: str, file: Path) -> None:
    """Answer one question in this process and print what it cost."""
    questions = TOOLS[tool](file)
    read = counter("io", "rchar")
    began = time.perf_counter()
    found = questions[question]()
    seconds = time.perf_counter() - began
    read_mib = (counter("io", "rchar") - read) / 2**20
    peak_mib = counter("status", "VmHWM") / 2**10
    print(json.dumps([seconds, peak_mib, read_mib, len(found), float(found["value"].sum())]))


def ask(tool: str, question: str, file: Path) -> Answer:
    command = [sys.executable, __file__, "--ask", tool, question, str(file)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Answer(*json.loads(done.stdout))


def make(folder: Path, runs: int) -> Path:
    """Write and aggregate the study; say what it is and what that took."""
    for index in range(runs):
        write_run(folder, index)
    began = time.perf_counter()
    report = aggregate(folder)
    seconds = time.perf_counter() - began
    file = folder / "study.parquet"
    layout = pq.read_metadata(file)
    print(
        f"{report.rows:,} records of {runs} runs aggregated in {seconds:.0f} s, peak memory "
        f"{counter('status', 'VmHWM') / 2**10:.0f} MiB: {file.stat().st_size / 2**20:.0f} MiB, "
        f"{layout.num_row_groups:,} row groups, {layout.num_columns} columns, "
        f"footer {layout.serialized_size / 2**20:.1f} MiB"
    )
    return file


def best(answers: Sequence[Answer]) -> Answer:
    """Return the answer with the least time and the largest memory."""
    return replace(answers[0], seconds=min(a.seconds for a in answers), peak_mib=max(a.peak_mib for a in answers))


def compare(file: Path, tools: Sequence[str]) -> bool:
    """Ask everything, print what it cost; say whether pandas stays within its limits."""
    kept = True
    for question, meaning in QUESTIONS.items():
        turns = [{tool: ask(tool, question, file) for tool in tools} for _ in range(REPEATS)]
        first = turns[0]["pandas"]
        print(f"{meaning} ({first.rows:,} rows):")
        for tool in tools:
            found = best([turn[tool] for turn in turns])
            assert found.rows == first.rows and math.isclose(found.total, first.total, rel_tol=1e-9), (tool, question)
            print(f"  {tool:6} {found.seconds:6.2f} s {found.peak_mib:6.0f} MiB, reads {found.read_mib:5.0f} MiB")
            if tool == "pandas" and question != "every":
                kept &= found.read_mib * 2**20 <= LARGEST_SHARE * file.stat().st_size and found.peak_mib <= LIMIT_MIB
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="how many runs the study has")
    parser.add_argument("--ask", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        tool, question, file = arguments.ask
        answer(tool, question, Path(file))
        return 0
    tools = [tool for tool in TOOLS if importlib.util.find_spec(tool)]
    for absent in TOOLS.keys() - set(tools):
        print(f"{absent} is not installed and left out: pip install {absent}")
    with tempfile.TemporaryDirectory() as folder:
        return int(not compare(make(Path(folder), arguments.runs), tools))


if __name__ == "__main__":
    sys.exit(main())
