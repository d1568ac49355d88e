"""Distances by names they had: runs of today are read and drawn by them, and runs that were written with them."""

from pathlib import Path

import matplotlib.pyplot as plt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import fedlayers
from fedlayers.studies.aggregate import aggregate
from tests.support.figure_tables import Measured, write_measured_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with debiased and biased CKA, and Procrustes distances."""
    run = write_measured_run(tmp_path_factory.mktemp("results") / "main", Measured(clients=3, layers=2))
    for part in (run / "pairs").iterdir():
        table = pq.read_table(part)
        rows = table.filter(pc.equal(table["metric"].cast(pa.string()), "cka_distance")).to_pylist()
        biased = pa.Table.from_pylist([row | {"variant": "biased, pooled"} for row in rows], table.schema)
        pq.write_table(pa.concat_tables([table, biased]), part)
    return run


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run whose distances have the names of before."""
    run = write_measured_run(tmp_path_factory.mktemp("old") / "main", Measured(clients=3, layers=2))
    for part in (run / "pairs").iterdir():
        table = pq.read_table(part)
        before = {"cka_distance": "cka_dst", "procrustes_distance": "activation_procrustes_dst"}
        rows = [row | {"metric": before.get(row["metric"], row["metric"])} for row in table.to_pylist()]
        pq.write_table(pa.Table.from_pylist(rows, table.schema), part)
    return run


def test_an_old_name_finds_the_rows_that_it_stood_for(run: Path) -> None:
    for name, estimator in (("cka_dst", "debiased"), ("cka_biased_dst", "biased")):
        pairs = fedlayers.read(run, metric=name).pairs
        assert set(pairs["metric"]) == {"cka_distance"} and set(pairs["variant"]) == {f"{estimator}, pooled"}
    both = fedlayers.read(run, metric=["activation_procrustes_dst", "cka"], columns=["metric"]).pairs
    assert list(both.columns) == ["metric"] and set(both["metric"]) == {"cka", "procrustes_distance"}
    # Stated, but not measured.
    assert fedlayers.read(run, metric="rsa_dst").pairs.empty


def test_so_it_does_in_a_table_of_several_runs(run: Path) -> None:
    aggregate(run.parent)
    pairs = fedlayers.read(run.parent / "study.parquet", metric="cka_biased_dst").pairs
    assert set(pairs["variant"].astype(str)) == {"biased, pooled"}
    assert len(fedlayers.read(run.parent, metric="cka_biased_dst").pairs) == len(pairs)


def test_a_run_of_before_is_read_by_its_own_names(old: Path) -> None:
    assert set(fedlayers.read(old, metric="cka_dst").pairs["metric"]) == {"cka_dst"}


def test_figures_are_drawn_by_old_names(run: Path, old: Path) -> None:
    drawn = [fedlayers.read(run).plot("clients", metric="cka_dst"), fedlayers.read(run).plot("clients_cka_dst")]
    drawn.append(fedlayers.read(old).plot("clients", metric="activation_procrustes_dst"))
    for figure in drawn:
        assert figure.axes
        plt.close(figure)
