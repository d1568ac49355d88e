import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedlayers.core.errors import UserError
from fedlayers.core.records import KEYS, SCHEMAS
from fedlayers.runs.reading.parts import load, parts
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import read
from fedlayers.studies.aggregate import aggregate
from tests.support.fake_run import accuracy, write_run


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "grid"
    for seed in (0, 1):
        write_run(folder, seed=seed)
    write_run(folder, seed=2, status="interrupted")
    return folder


@pytest.fixture(scope="module")
def run(study: Path) -> Path:
    return study / "FMNIST-fedavg-s0-0002fb4d4d"


def test_run_records_are_those_that_were_written(run: Path) -> None:
    records = read(run).records
    chosen = records.query("metric == 'accuracy' and moment == 'after_local' and scope == 'client_test'")
    for row in chosen.itertuples():
        assert row.value == accuracy_of(row)
    assert len(chosen) == 3 * 4
    written = sum(pq.read_metadata(file).num_rows for file in (run / "records").iterdir())
    assert len(records) == written
    assert set(records["run"]) == {run.name}


def accuracy_of(row: object) -> float:
    from tests.support.fake_run import Fake

    return accuracy(Fake(), row.client, row.round, row.moment)  # type: ignore[attr-defined]


def test_texts_are_categories_and_integers_stay_integers(run: Path) -> None:
    records = read(run).records
    for field in SCHEMAS["records"]:
        kind = records[field.name].dtype
        expected = {"int32": "Int32", "int64": "Int64", "double": "float64"}.get(str(field.type), "category")
        assert str(kind) == expected, field.name
    server = records.query("owner == 'server'")
    assert server["client"].isna().all()
    assert records.query("metric == 'norm'")["layer_index"].max() == 2
    assert records.query("status == 'missing'")["value"].isna().all()


def test_rows_come_by_round_and_final_last(run: Path) -> None:
    assert [file.stem for file in parts(run, "records")] == [*(f"round={i:06d}" for i in range(5)), "final"]
    records = read(run).records
    assert records["round"].is_monotonic_increasing
    assert records["moment"].iloc[[0, -1]].tolist() == ["start", "final"]


def test_other_tables(run: Path) -> None:
    tables = read(run)
    assert set(KEYS["pairs"]) <= set(tables.pairs.columns)
    assert str(tables.pairs["other"].dtype) == "Int32"
    np.testing.assert_array_equal(tables.spectra["y"].iloc[0], [9.0, 1.0])
    assert tables.resources.query("metric == 'train_s'")["value"].sum() == 2.0 * 3 * 4
    assert set(tables.partition.columns) >= {"run", "client", "client_name", "scope", "label", "examples"}
    assert tables.records is tables.records


def test_facts_of_one_run(run: Path) -> None:
    facts = read(run).facts
    assert facts.loc[0, "dataset"] == "FMNIST"
    assert facts.loc[0, "status"] == "complete"
    assert facts.loc[0, "parameters"] == 300


def test_unfinished_parts_are_ignored(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    before = len(read(run).records)
    (run / "records" / ".round=000099.parquet").write_bytes(b"half")
    (run / "records" / ".x.tmp").write_bytes(b"half")
    assert len(read(run).records) == before


def test_columns_that_an_earlier_version_did_not_write_are_null(tmp_path: Path) -> None:
    run = write_run(tmp_path / "grid")
    aggregate(run.parent)
    before = {place: read(place).records for place in (run, tmp_path / "grid", tmp_path / "grid" / "study.parquet")}
    for file in (*run.glob("re*/*.parquet"), tmp_path / "grid" / "study.parquet"):
        table = pq.read_table(file)
        later = {"records": ["step"], "resources": ["layer", "layer_index", "subject", "step"]}
        pq.write_table(table.drop_columns(later.get(file.parent.name, ["step"])), file)
    for place, expected in before.items():
        pd.testing.assert_frame_equal(read(place).records, expected)
        assert expected["step"].isna().all()
    resources = read(run).resources
    assert list(resources.columns) == SCHEMAS["resources"].names and len(resources) > 0
    assert resources[["layer", "layer_index", "subject", "step"]].isna().all(axis=None)


def test_study_has_run_facts_as_columns(study: Path) -> None:
    tables = read(study)
    assert set(tables.records["seed"].unique()) == {0, 1, 2}
    assert set(tables.records["model_name"].unique()) == {"cnn"}
    assert set(tables.records["objective"].unique()) == {"cross_entropy"}  # what runs have that do not say it
    assert set(tables.records["plan"].unique()) == {"all"}
    assert "global" in set(tables.records["model"].unique())
    assert str(tables.records["algorithm"].dtype) == "category"
    assert str(tables.records["metric"].dtype) == "category"
    assert list(tables.facts["status"]) == ["complete", "complete", "interrupted"]
    assert len(tables.partition) == 3 * 3 * 3 * 5
    one = read(study / str(tables.facts.loc[1, "run"])).records
    same = tables.records.query("seed == 1")[one.columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, one, check_categorical=False)


def test_a_run_without_rounds_yet_has_empty_tables(tmp_path: Path) -> None:
    (tmp_path / "fresh").mkdir()
    (tmp_path / "fresh" / "run.json").write_text("{}", encoding="utf-8")
    tables = read(tmp_path / "fresh")
    assert len(tables.records) == len(tables.pairs) == len(tables.partition) == 0
    assert list(tables.records.columns) == SCHEMAS["records"].names
    assert run_facts(tmp_path / "fresh")["status"] == "interrupted"
    assert "seed" in read(tmp_path).records.columns


def test_status_is_complete_only_with_the_done_marker(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    (run / "done.json").unlink()
    assert run_facts(run)["status"] == "interrupted"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nowhere", r"there is nothing at .*nowhere: give a run folder"),
        (lambda folder: folder, r"is neither a run folder \(no run.json in it\) nor a study folder"),
        (lambda folder: _file(folder / "a.txt"), r"a\.txt is not a table of results"),
    ],
    ids=["nothing", "no run", "not parquet"],
)
def test_wrong_paths(tmp_path: Path, make: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(make(tmp_path))  # type: ignore[operator]


def _file(path: Path) -> Path:
    path.write_text("x", encoding="utf-8")
    return path


def test_an_unreadable_part_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    (run / "records" / "round=000002.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(UserError, match=r"round=000002.parquet cannot be read .*force=true") as caught:
        _ = read(run).records
    assert "\n" not in str(caught.value)


def test_unreadable_and_wrong_run_json(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    (run / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"run\.json cannot be read \(Expecting.*delete it and start the same"):
        _ = read(run).facts
    (run / "run.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match=r"run\.json must hold an object, got list: .*delete it and start"):
        _ = read(run).facts


def test_a_parquet_file_holds_records_only(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    pq.write_table(load(run, "records"), tmp_path / "moved.parquet")
    tables = read(tmp_path / "moved.parquet")
    assert len(tables.records) == len(read(run).records)
    with pytest.raises(UserError, match=r"moved.parquet holds no spectra, only the runs' records"):
        _ = tables.spectra
    with pytest.raises(UserError, match=r"there is no .*moved_pairs.parquet"):
        _ = tables.pairs


def test_many_rows_of_many_parts_stay_categories(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    table = load(run, "records")
    many = pa.concat_tables([table] * (200_000 // 20 // len(table))).combine_chunks()
    for server_round in range(100, 120):
        pq.write_table(many, run / "records" / f"round={server_round:06d}.parquet")
    records = read(run).records
    assert len(records) > 190_000
    assert str(records["metric"].dtype) == "category"


def test_run_json_facts_survive_missing_keys(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    (run / "run.json").write_text(json.dumps({"dataset": "FMNIST"}), encoding="utf-8")
    records = read(tmp_path).records
    assert set(records["dataset"].unique()) == {"FMNIST"}
    assert records["seed"].isna().all()


def test_the_package_offers_read_as_a_call(run: Path) -> None:
    import fedlayers

    for _ in range(2):
        assert len(fedlayers.read(run).facts) == 1
