"""What it takes to serve a large run: run with ``python benchmarks/explore_slices.py [--rounds 100]``.

A made-up run of 100 rounds × 100 clients × 20 layers × 30 metrics (6 million records) is served as any other by
``python -m fedlayers.explore``. Asked over HTTP for slices (one metric in one round: 2,000 rows, by columns that a
heat map shows), each another one than before: first answer, then the median of 200, beside pandas reading the same
rows from the files (``fedlayers.read``). Then 50 readers at once. The exit status is 1 if the median is over 5 ms or a
reader gets an error. Takes about a minute and 400 MB in the temporary folder.
"""

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import fedlayers
from fedlayers.core.records import SCHEMAS
from fedlayers.core.seals import seal_of
from fedlayers.runs.manifest import Manifest

CLIENTS, LAYERS, METRICS = 100, 20, 30
COLUMNS = ("client", "layer", "value", "stderr")
LIMIT_MS, READERS, QUESTIONS = 5.0, 50, 200


def write_run(folder: Path, rounds: int) -> None:
    """Write a run of so many rounds."""
    (folder / "records").mkdir(parents=True)
    facts = {"run": folder.name, "status": "running", "round": rounds, "rounds": rounds, "layers": [], "classes": []}
    (folder / "run.json").write_text(json.dumps(facts))
    (folder / "config.yaml").write_text("{}")
    rows = CLIENTS * LAYERS * METRICS
    clients, layers, metrics = np.unravel_index(np.arange(rows), (CLIENTS, LAYERS, METRICS))
    draws = np.random.default_rng(0)
    texts = {"moment": "after_local", "owner": "client", "model": "personal", "scope": "client_train", "status": "ok"}
    schema = SCHEMAS["records"]
    for number in range(1, rounds + 1):
        columns = {name: words(np.zeros(rows, int), [text]) for name, text in texts.items()}
        columns["round"] = pa.array(np.full(rows, number, np.int32))
        columns["client"], columns["layer_index"] = (
            pa.array(clients.astype(np.int32)),
            pa.array(layers.astype(np.int32)),
        )
        columns["layer"] = words(layers, [f"stage{i // 4}.conv{i % 4}" for i in range(LAYERS)])
        columns["metric"] = words(metrics, [f"metric_{i:02d}" for i in range(METRICS)])
        columns["value"], columns["stderr"] = pa.array(draws.random(rows)), pa.array(draws.random(rows))
        full = [columns.get(field.name, pa.nulls(rows, field.type)) for field in schema]
        pq.write_table(pa.table(full, schema=schema), folder / "records" / f"round={number:06d}.parquet")
    seal(folder, rounds)


def seal(run: Path, rounds: int) -> None:
    """Note size and digest of each part as a run does: whoever reads it checks them."""
    manifest = Manifest(run)
    manifest.cut(0)
    manifest.begin({}, 1)
    for number in range(1, rounds + 1):
        name = f"records/round={number:06d}.parquet"
        manifest.note(name, seal_of(run / name))
        manifest.close_round(number)


def words(codes: np.ndarray, known: list[str]) -> pa.DictionaryArray:
    """Return a column of texts."""
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(known))


def questions(run: str, rounds: int) -> list[str]:
    """Return the addresses of as many different slices."""
    draws = np.random.default_rng(1)
    asked = draws.choice(rounds * METRICS, min(QUESTIONS, rounds * METRICS), replace=False)
    return [
        f"/api/runs/{run}/tables/records?"
        + urlencode(
            {"metric": f"metric_{one % METRICS:02d}", "round": one // METRICS + 1, "columns": COLUMNS}, doseq=True
        )
        for one in asked
    ]


def get(connection: http.client.HTTPConnection, address: str) -> bytes:
    """Return what is answered.

    Raises:
        RuntimeError: it is an error.
    """
    connection.request("GET", address)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {body.decode()}")
    return body


def readers_at_once(port: int, addresses: list[str]) -> tuple[float, list[str]]:
    """Return the seconds that 50 readers took for all addresses each, and their errors."""
    errors: list[str] = []

    def read(first: int) -> None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            for address in addresses[first % 7 :: 7]:
                get(connection, address)
        except Exception as error:
            errors.append(repr(error))

    threads = [threading.Thread(target=read, args=(number,)) for number in range(READERS)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun, errors


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "made-up"
        write_run(run, rounds)
        words = [sys.executable, "-m", "fedlayers.explore", str(run)]
        service = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert service.stdout is not None
        try:
            port = int(service.stdout.readline().split("127.0.0.1:")[1].partition("/")[0])
            return measured(port, run, rounds)
        finally:
            service.terminate()
            service.wait()


def measured(port: int, run: Path, rounds: int) -> int:
    """Measure a service that answers from a run."""
    addresses = questions(run.name, rounds)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    times = []
    for address in [addresses[0], *addresses]:
        begun = time.perf_counter()
        body = get(connection, address)
        times.append(1e3 * (time.perf_counter() - begun))
    rows = pa.ipc.open_stream(body).read_all().num_rows
    begun = time.perf_counter()
    frame = fedlayers.read(run, metric="metric_03", round=rounds // 2 + 1).records
    pandas_ms = 1e3 * (time.perf_counter() - begun)
    assert len(frame) == rows
    median = statistics.median(times[1:])
    print(f"{rounds * CLIENTS * LAYERS * METRICS:,} records; a slice has {rows:,} rows and {len(body):,} bytes")
    print(f"first answer {times[0]:.0f} ms; then {median:.1f} ms (median), 95 %: {np.quantile(times[1:], 0.95):.1f} ms")
    print(f"pandas reads the same rows from the files in {pandas_ms:.0f} ms: {pandas_ms / median:.0f} times as long")
    seconds, errors = readers_at_once(port, addresses)
    answers = sum(len(addresses[first % 7 :: 7]) for first in range(READERS))
    print(f"{READERS} readers at once: {answers:,} answers in {seconds:.1f} s; {len(errors)} errors")
    for error in errors[:3]:
        print(error)
    return int(median > LIMIT_MS or bool(errors))


if __name__ == "__main__":
    sys.exit(main())
