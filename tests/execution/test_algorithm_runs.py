"""Algorithms that keep something, stopped after a round and finished by other processes, come to the same."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedlayers.config.options import options
from fedlayers.runs.folder import RunFolder

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
# One of the clients trains for the first time after the stop.
WORDS = ["metrics=[evaluation]", "fraction=0.75", "partition=dirichlet", "examples_per_client=40"]
SETTINGS = {"fedbn": ["model._target_=tests.support.odd_models.TinyBatchNorm"]}


def left(run: Path) -> dict[str, object]:
    """Return what the server and the clients keep after the last round."""
    arrays, scalars = RunFolder(run).checkpoint(2)
    states = {path.name: path.read_bytes() for path in sorted((run / "state").glob("*@2"))}
    return {**states, "server": arrays, "strategy": scalars["strategy"]}


# Nothing of these outlives a round, or it is kept as that of others is, or tests of their own stop them.
OTHERS = {"flower", "fedavg", "fedprox", "centralized", "fedmedian", "fedtrimmedavg", "krum", "bulyan", "qfedavg"}
OTHERS |= {
    "fednova",
    "fedlc",
    "fedsam",
    "localadaptation",
    "knnper",
    "perfedavg",
    "fedbabu",
    "fedper",
    "lgfedavg",
    "fedrep",
}
OTHERS |= {"fedadam", "fedadagrad", "fedyogi", "fedavgm", "fedexp", "local", "clustered", "ifca", "cfl", "pfedla"}
OTHERS |= {"fedfomo"}


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", sorted({*options()["algorithm"]} - OTHERS))
def test_it_goes_on_where_it_stopped_on_any_engine(
    algorithm: str, quick_run: Run, tables: Tables, tmp_path: Path
) -> None:
    words = [f"algorithm={algorithm}", *WORDS, *SETTINGS.get(algorithm, [])]
    whole = quick_run("engine=local", *words)
    quick_run("engine=local", "rounds=1", *words, folder=tmp_path)
    longer = quick_run("engine=ray", "engine.workers=1", "engine.client_cpus=0.5", *words, folder=tmp_path)
    last = "records/round=000002.parquet"
    assert tables(longer)[last] == tables(whole)[last]
    assert left(longer) == left(whole)
