"""A slice of results is read by file name, row group, column and predicate; what is asked for and not there is told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import fedlayers
from fedlayers.core.errors import UserError
from fedlayers.core.records import Record, Row, to_table
from fedlayers.runs.file_names import round_of
from fedlayers.runs.reading import tables
from fedlayers.runs.reading.selection import Selection, listed
from fedlayers.studies import study_table
from fedlayers.studies.aggregate import aggregate
from tests.support.fake_run import write_run

ROUNDS = 60


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of many rounds, each with thousands of rows."""
    run = write_run(tmp_path_factory.mktemp("large") / "s", rounds=1)
    facts = json.loads((run / "run.json").read_text())
    layers = [*facts["layers"], *({"name": f"fc{layer}"} for layer in range(10))]
    (run / "run.json").write_text(json.dumps({**facts, "round": ROUNDS + 100, "layers": layers}))
    for number in range(1, ROUNDS + 1):
        address: dict[str, Any] = {
            "round": number + 100,
            "moment": "after_local",
            "owner": "client",
            "model": "personal",
        }
        rows: list[Row] = [
            Record(metric, 1.0 * client, layer=f"fc{layer}", layer_index=layer, client=client, **address)
            for metric in ("norm", "update_norm")
            for layer in range(10)
            for client in range(20)
        ]
        pq.write_table(to_table("records", rows), run / "records" / f"round={number + 100:06d}.parquet")
    return run


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parts that are opened."""
    found: list[str] = []
    real = pq.ParquetFile

    def watched(source: Any, **options: Any) -> Any:
        found.append(Path(source).name)
        return real(source, **options)

    monkeypatch.setattr(pq, "ParquetFile", watched)
    return found


def test_a_slice_of_a_large_run_opens_its_parts_only(large: Path, opened: list[str]) -> None:
    whole = fedlayers.read(large).records
    assert len(opened) == ROUNDS + 3
    opened.clear()
    sliced = fedlayers.read(large, rounds=[107, 108], metric="norm", layer="fc3")
    assert opened == []
    expected = whole.query("round in [107, 108] and metric == 'norm' and layer == 'fc3'")
    pd.testing.assert_frame_equal(plain(sliced.records), plain(expected))
    assert sorted(opened) == ["round=000107.parquet", "round=000108.parquet"]


def test_rows_are_those_of_a_query(large: Path, opened: list[str]) -> None:
    whole = fedlayers.read(large).records
    chosen = fedlayers.read(large, metric="norm", layer=["fc3", "fc4"], client=np.int64(2)).records
    expected = whole.query("metric == 'norm' and layer in ['fc3', 'fc4'] and client == 2")
    pd.testing.assert_frame_equal(plain(chosen), plain(expected))
    assert len(chosen) == 2 * ROUNDS
    columns = fedlayers.read(large, metric="norm", layer="fc3", columns=["value", "round"]).records
    assert list(columns.columns) == ["round", "value"] and len(columns) == 20 * ROUNDS
    assert len(fedlayers.read(large, scope=["server_test"], moment="final").records) == 2
    assert fedlayers.read(large, other=1, metric="cka").records.empty
    assert len(fedlayers.read(large, other=1, metric="cka").pairs) > 0


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    texts = [name for name in frame.columns if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    return frame.astype(dict.fromkeys(texts, object)).reset_index(drop=True)


def test_other_parts_may_be_broken(tmp_path: Path, opened: list[str]) -> None:
    run = write_run(tmp_path / "s", rounds=6)
    expected = fedlayers.read(run).records.query("round == 3 and metric == 'accuracy'")
    for part in (run / "records").iterdir():
        if part.name != "round=000003.parquet":
            part.write_bytes(b"broken")
    opened.clear()
    found = fedlayers.read(run, rounds=3, metric="accuracy").records
    assert opened == ["round=000003.parquet"]
    pd.testing.assert_frame_equal(plain(found), plain(expected))
    with pytest.raises(UserError, match="cannot be read"):
        _ = fedlayers.read(run).records


def test_the_end_is_a_part_of_its_own(tmp_path: Path, opened: list[str]) -> None:
    run = write_run(tmp_path / "s", rounds=4)
    assert set(fedlayers.read(run, moment="final").records["moment"]) == {"final"}
    assert opened == ["final.parquet"]
    opened.clear()
    assert "final" not in set(fedlayers.read(run, moment=["after_local", "start"]).records["moment"])
    assert "final.parquet" not in opened
    assert set(fedlayers.read(run, rounds=[4], metric="accuracy").records["moment"]) >= {"after_local", "final"}


def test_a_study_reads_the_runs_that_are_asked_for(tmp_path: Path, opened: list[str]) -> None:
    study = tmp_path / "s"
    runs = [write_run(study, seed=seed) for seed in range(3)]
    found = fedlayers.read(study, seed=1, rounds=2, metric="loss").records
    assert set(found["run"]) == {runs[1].name} and set(found["round"]) == {2}
    assert len(opened) == 1
    assert set(fedlayers.read(study, run=runs[0].name, rounds=0).records["run"]) == {runs[0].name}
    with pytest.raises(UserError, match=r"seed must be some of 0 to 2, got 7"):
        _ = fedlayers.read(study, seed=[1, 7]).records
    only = fedlayers.read(study, columns=["seed", "value"], metric="loss", rounds=1).records
    assert list(only.columns) == ["value", "seed"] and set(only["seed"]) == {0, 1, 2}


def test_row_groups_of_a_study_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_table, "ROW_GROUP_ROWS", 1)
    study = tmp_path / "s"
    for seed in range(3):
        write_run(study, seed=seed)
    table = aggregate(study).table
    assert table is not None
    asked = Selection.of({"metric": "loss", "seed": 1}, (), ("seed",))
    (fragment,) = ds.dataset(table).get_fragments()
    needed = fragment.subset(filter=asked.predicate(fragment.physical_schema, True)).row_groups
    assert len(needed) == 1 < len(fragment.row_groups) == 3 * 7
    whole = fedlayers.read(table).records
    found = fedlayers.read(table, metric="loss", seed=1).records
    assert len(found) == len(whole.query("metric == 'loss' and seed == 1")) > 0
    assert isinstance(found["metric"].dtype, pd.CategoricalDtype) and set(found["metric"]) == {"loss"}
    assert list(fedlayers.read(table, columns=["run_status"], metric="loss").records.columns) == ["run_status"]
    assert fedlayers.read(table, other=1, metric="cka").records.empty
    with pytest.raises(UserError, match=r"host must be some of node1, got 'node2' \(did you mean node1\?\)"):
        fedlayers.read(table, host="node2")


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        ({"metric": "acuracy"}, r"metric must be some of .*accuracy.*, got 'acuracy' \(did you mean accuracy\?\)"),
        ({"metric": ["loss", "acuracy"]}, r"got 'acuracy' \(did you mean accuracy\?\)"),
        ({"layer": "fc9"}, r"layer must be some of conv1, conv2, head, got 'fc9'"),
        ({"client": 9}, r"client must be some of 0 to 2, got 9"),
        ({"rounds": [1, 9]}, r"rounds must be some of 0 to 4, got 9"),
        ({"rounds": 3, "moment": "finale"}, r"moment must be some of .*final.*, got 'finale' \(did you mean final\?\)"),
        ({"owner": "cliant"}, r"owner must be some of client, server, got 'cliant' \(did you mean client\?\)"),
        ({"subject": "clas 0"}, r"subject must be some of class 0, got 'clas 0' \(did you mean class 0\?\)"),
    ],
)
def test_values_that_are_not_there_are_told_at_once(filters: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    write_run(tmp_path / "s")
    with pytest.raises(UserError, match=sentence):
        fedlayers.read(tmp_path / "s", **filters)


def test_values_that_runs_state_are_asked_for_without_a_look_into_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "s")
    monkeypatch.setattr(tables.Tables, "_rows", lambda *_: pytest.fail("read a table"))
    fedlayers.read(run, metric="loss", layer="conv1", client=[0, 2], rounds=[1, 4], moment="final", owner="client")


def test_steps_where_nothing_was_measured_at_steps_are_told_and_one_column_needs_no_list(tmp_path: Path) -> None:
    run = write_run(tmp_path / "s")
    with pytest.raises(UserError, match=r"step must be left out, because no row has one: nothing .* local .*got 1"):
        _ = fedlayers.read(run, step=1).records
    assert list(fedlayers.read(run, columns="value").records) == ["value"]


def test_a_word_that_no_row_has_is_told_by_the_table(tmp_path: Path) -> None:
    found = fedlayers.read(write_run(tmp_path / "s"), scope="space_sample")
    with pytest.raises(UserError, match=r"scope must be some of .*client_test.*, got 'space_sample'"):
        _ = found.records


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        ({"metrics": "loss"}, r"metrics is not a column to choose rows by \(did you mean metric\?\): there are "),
        ({"value": 0.5}, r"value is not a column to choose rows by"),
        (
            {"layer": ["fc1", None]},
            r"layer must be a text .*None\]; read all rows, and choose those without a layer",
        ),
        ({"metric": 3}, r"metric must be a text or a list of some, got 3"),
        ({"metric": []}, r"metric must be a text or a list of some, got \[\]"),
        ({"rounds": "last"}, r"rounds must be a whole number or a list of some, got 'last'"),
        ({"client": True}, r"client must be a whole number or a list of some, got True"),
        ({"columns": ["values"]}, r"values is not a column of the tables \(did you mean value\?\): there are "),
    ],
)
def test_filters_are_checked_before_anything_is_read(filters: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "s")
    with pytest.raises(UserError, match=sentence):
        fedlayers.read(run, **filters)


def test_what_is_there_and_not_in_the_slice_is_no_mistake(tmp_path: Path, opened: list[str]) -> None:
    run = write_run(tmp_path / "s")
    assert fedlayers.read(run, rounds=2, metric="norm").records.empty
    assert fedlayers.read(run, metric="cka").records.empty
    assert set(fedlayers.read(run, metric="cka").pairs["metric"]) == {"cka"}
    # What the run states is known without a look into the tables.
    assert set(opened) == {f"round={number:06d}.parquet" for number in range(5)} | {"final.parquet"}


def test_many_values_are_told_in_short() -> None:
    assert listed([3, 1, 2, 7]) == "1 to 3, 7"
    assert listed([f"m{number:02d}" for number in range(30)]).endswith("m19 and 10 more")
    assert listed([]) == "none"
    assert listed(list(range(0, 100, 2))).endswith("38 and 30 more")


def test_parts_have_the_round_of_their_names() -> None:
    assert round_of("round=000012.parquet") == 12
    assert round_of("final.parquet") is None
