"""What server halves keep for later rounds: found again, forgotten in time, rewound with the run."""

from pathlib import Path

import numpy as np
import pytest

from fedlayers.runs.metric_memory import MetricMemory


def held(value: float) -> dict[str, np.ndarray]:
    return {"similarity/a/b": np.full(3, value), "other/a": np.zeros(1)}


def test_the_first_and_the_last_round_before_are_found(tmp_path: Path) -> None:
    kept = MetricMemory(tmp_path)
    assert kept.read("similarity", "after_local", before=1) == {}
    for server_round in (1, 3, 5, 7):
        kept.write(server_round, "after_local", held(server_round))
    found = kept.read("similarity", "after_local", before=7)
    assert {place: list(arrays) for place, arrays in found.items()} == {1: ["a/b"], 5: ["a/b"]}
    assert found[5]["a/b"].tolist() == [5.0] * 3
    assert kept.read("similarity", "start", before=7) == {}


def test_what_nothing_asks_for_is_deleted_and_a_repeated_round_still_finds_its_last(tmp_path: Path) -> None:
    kept = MetricMemory(tmp_path)
    for server_round in range(1, 7):
        kept.write(server_round, "after_local", held(server_round))
        kept.write(server_round, "after_aggregate", held(server_round))
        assert len(kept.read("similarity", "after_local", before=server_round)) == min(server_round - 1, 2)
        kept.prune()
    assert len(list((tmp_path / "arrays").iterdir())) == 2 * 3
    kept.rewind(5)
    assert list(kept.read("similarity", "after_local", before=6)) == [1, 5]


def test_unfinished_files_go(tmp_path: Path) -> None:
    kept = MetricMemory(tmp_path)
    kept.write(1, "after_local", held(1))
    (tmp_path / "arrays" / ".round=000002-after_local.safetensors").touch()
    kept.rewind(1)
    assert [path.name for path in (tmp_path / "arrays").iterdir()] == ["round=000001-after_local.safetensors"]


@pytest.mark.parametrize("last", [-1, 0])
def test_a_run_without_kept_arrays_has_no_folder(tmp_path: Path, last: int) -> None:
    MetricMemory(tmp_path).rewind(last)
    assert not (tmp_path / "arrays").exists()
