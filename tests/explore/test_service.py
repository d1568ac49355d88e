"""The service as a program asks it: runs, slices of their tables, annotations, what happens now."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

import fedlayers
from fedlayers.charts import over_rounds
from fedlayers.charts.over_rounds import FEW_CLIENTS
from fedlayers.core.errors import UserError
from fedlayers.explore import slices
from fedlayers.explore.annotations import Annotations, Note
from fedlayers.explore.answers import RunAnswers
from fedlayers.explore.app import application
from fedlayers.explore.place import Place
from fedlayers.explore.reading_ahead import read_ahead
from fedlayers.runs.reading.selection import Selection
from tests.support.fake_run import write_run


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a study of two runs."""
    folder = tmp_path_factory.mktemp("study")
    write_run(folder, seed=0)
    write_run(folder, seed=1)
    return folder


def asking(folder: Path) -> TestClient:
    return TestClient(application(Place.at(folder)), base_url="http://127.0.0.1:8000", raise_server_exceptions=True)


@pytest.fixture(scope="module")
def client(study: Path) -> Iterator[TestClient]:
    with asking(study) as found:
        yield found


@pytest.fixture
def name(study: Path) -> str:
    return Place.at(study).names()[0]


def _table(answer: Any) -> pa.Table:
    assert answer.status_code == 200, answer.text
    return pa.ipc.open_stream(answer.content).read_all()


def test_runs_are_listed_with_their_facts(client: TestClient, study: Path) -> None:
    listed = client.get("/api/runs").json()
    assert [line["run"] for line in listed] == sorted(folder.name for folder in study.iterdir())
    assert listed[0]["status"] == "complete" and listed[0]["facts"]["seed"] in (0, 1)


def test_a_run_says_what_its_values_mean(client: TestClient, name: str, study: Path) -> None:
    page = client.get(f"/api/runs/{name}").json()
    assert page["facts"]["layers"] == json.loads(json.dumps(fedlayers.open(study / name).facts["layers"]))
    assert {one["name"] for one in page["quantities"]} == set(fedlayers.open(study / name).quantities)


@pytest.mark.parametrize("chosen", [
    {},
    {"metric": ["loss"]},
    {"metric": ["loss", "accuracy"], "round": [1]},
    {"round": [1], "client": [0, 2]},
    {"moment": ["after_local"], "owner": ["client"]},
])  # fmt: skip
def test_a_slice_has_the_rows_that_pandas_chooses(
    client: TestClient, name: str, study: Path, chosen: dict[str, list[str | int]]
) -> None:
    found = _table(client.get(f"/api/runs/{name}/tables/records", params=chosen)).to_pandas()
    frame = fedlayers.open(study / name).tables.records
    for column, values in chosen.items():
        frame = frame[frame[column].isin(values)]
    assert len(found) == len(frame) > 0
    for column in ("metric", "round", "client", "layer", "value", "scope"):
        mine, theirs = found[column].astype("object"), frame[column].astype("object").reset_index(drop=True)
        assert mine.where(mine.notna(), None).tolist() == theirs.where(theirs.notna(), None).tolist(), column


def test_columns_limit_and_offset_cut_what_is_sent(client: TestClient, name: str) -> None:
    address = f"/api/runs/{name}/tables/records"
    every = _table(client.get(address, params={"metric": "loss"}))
    wanted: dict[str, Any] = {"metric": "loss", "columns": ["value", "round"], "offset": 2, "limit": 3}
    answer = client.get(address, params=wanted)
    assert _table(answer).equals(every.select(["value", "round"]).slice(2, 3).combine_chunks())
    assert int(answer.headers["X-Total-Rows"]) == every.num_rows
    text = client.get(address, params={**wanted, "format": "json"}).json()
    assert text == _table(answer).to_pydict()


def test_values_are_those_of_the_rows(client: TestClient, name: str, study: Path) -> None:
    values = client.get(f"/api/runs/{name}/tables/records/values").json()
    frame = fedlayers.open(study / name).tables.records
    assert values["metric"] == sorted(frame["metric"].unique())
    assert values["client"] == sorted(frame["client"].dropna().unique().tolist())


@pytest.mark.parametrize(("address", "status", "sentence"), [
    ("/api/runs/nix", 404, "run must be one of .*, got 'nix'"),
    ("/api/runs/..%2f..%2fetc", 404, "there is no /api/runs/"),
    ("/api/runs/NAME/tables/rows", 422, "table must be one of records, pairs, spectra, resources, got 'rows'"),
    ("/api/runs/NAME/tables/records?metric=los", 409, "metric must be some of .*got 'los' .did you mean loss"),
    ("/api/runs/NAME/tables/records?round=99", 409, "rounds must be some of .*, got 99"),
    ("/api/runs/NAME/tables/records?round=one", 422, "round must be a whole number, got 'one'"),
    ("/api/runs/NAME/tables/records?client=99999999999", 422, "client must be 2,147,483,647 or less, got '9"),
    ("/api/runs/NAME/tables/records?other=1", 409, "records have no column other: choose their rows by metric"),
    ("/api/runs/NAME/tables/records?columns=valu", 409, "columns must be some of run, .*, got 'valu'"),
    ("/api/runs/NAME/tables/records?colour=red", 422, "colour must be left out, for there is no such parameter"),
    ("/api/runs/NAME/tables/records?limit=0", 422, "limit must be 1 or more, got '0'"),
    ("/api/nix", 404, "there is no /api/nix: /docs lists what there is"),
])  # fmt: skip
def test_what_cannot_be_answered_is_one_sentence(
    client: TestClient, name: str, address: str, status: int, sentence: str
) -> None:
    answer = client.get(address.replace("NAME", name))
    assert answer.status_code == status, answer.text
    with pytest.raises(ValueError, match=sentence):
        raise ValueError(answer.json()["detail"])


def test_a_damaged_run_says_so_and_leaves_the_others_alone(tmp_path: Path) -> None:
    broken, whole = write_run(tmp_path, seed=0), write_run(tmp_path, seed=1)
    (broken / "run.json").write_text("{")
    with asking(tmp_path) as client:
        listed = {line["run"]: line["status"] for line in client.get("/api/runs").json()}
        assert listed == {broken.name: "damaged", whole.name: "complete"}
        assert client.get(f"/api/runs/{broken.name}").status_code == 409
        next((whole / "records").glob("*.parquet")).write_bytes(b"nothing")
        answer = client.get(f"/api/runs/{whole.name}/tables/records")
        assert answer.status_code == 409 and "records" in answer.json()["detail"]


def test_what_lies_outside_is_not_read(tmp_path: Path) -> None:
    outside = write_run(tmp_path / "elsewhere", seed=0)
    run = write_run(tmp_path / "study", seed=1)
    (tmp_path / "study" / outside.name).symlink_to(outside)
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    place = Place.at(tmp_path / "study")
    assert place.names() == [run.name]
    (run / "partition.json").symlink_to(secret)
    with pytest.raises(UserError, match=r"partition.json of run .* is a symbolic link to a place outside"):
        place.run(run.name)


@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_a_place_is_a_run_or_a_study(tmp_path: Path, kind: str) -> None:
    sentence = {"missing": "there is no folder", "empty": "is neither a run folder .* nor a study folder"}[kind]
    with pytest.raises(UserError, match=sentence):
        Place.at(tmp_path / "x" if kind == "missing" else tmp_path)


def test_annotations_persist_and_are_deleted(tmp_path: Path) -> None:
    run = write_run(tmp_path, seed=0)
    address = f"/api/runs/{run.name}/annotations"
    note = {"text": "left-leaning <b>1</b>", "round": 2, "client": 0, "inputs": "local", "examples": [3, 1]}
    with asking(tmp_path) as client:
        added = client.post(address, json=note)
        assert added.status_code == 201
    with asking(tmp_path) as client:
        (kept,) = client.get(address).json()
        assert kept == added.json() and kept | note == kept
        assert client.delete(f"{address}/{kept['id']}").status_code == 204
        assert client.get(address).json() == []
        again = client.delete(f"{address}/{kept['id']}")
        assert again.status_code == 404 and "has no annotation" in again.json()["detail"]
        assert client.post(address, json={"text": ""}).status_code == 422
        (run / "annotations.json").write_text("[{]")
        damaged = client.post(address, json=note)
        assert damaged.status_code == 409 and "cannot be read" in damaged.json()["detail"]
        assert (run / "annotations.json").read_text() == "[{]"


def test_two_writers_lose_no_annotation(tmp_path: Path) -> None:
    def write(writer: int) -> None:
        for number in range(10):
            Annotations(tmp_path).add(Note(text=f"{writer} {number}"))

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert {note.text for note in Annotations(tmp_path).all()} == {f"{w} {n}" for w in range(4) for n in range(10)}


def test_a_run_that_goes_on_is_read_anew(tmp_path: Path) -> None:
    run = write_run(tmp_path, seed=0, rounds=3)
    last = run / "records" / "round=000003.parquet"
    aside = last.rename(tmp_path / "aside")
    (run / "done.json").unlink()
    (run / "records" / "final.parquet").unlink()
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"status": "running", "round": 2}))
    with asking(tmp_path) as client:
        address = f"/api/runs/{run.name}/tables/records/values"
        assert client.get(address).json()["round"][-1] == 2
        aside.rename(last)
        assert client.get(address).json()["round"][-1] == 3


def test_the_description_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs")
    assert "GET /api/runs/{run}/tables/{table}" in page.text
    assert "http://" not in page.text and "https://" not in page.text
    assert client.get("/openapi.json").json()["info"]["title"] == "fedlayers"


def test_what_the_first_look_asks_is_read_ahead_of_it(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (Place.at(study), Place.at(study / Place.at(study).names()[0])):
        answers = RunAnswers()
        read_ahead(place, answers)
        monkeypatch.setattr(over_rounds, "curves", lambda *_: pytest.fail("it is worked out again"))
        if place.is_run:
            asked = TestClient(application(place, answers=answers), base_url="http://127.0.0.1:8000").get(
                f"/api/runs/{place.root.name}/charts/curves", params={"metric": "accuracy", "few": FEW_CLIENTS}
            )
            assert _table(asked).num_rows > 0
        monkeypatch.undo()


def test_nothing_more_is_read_ahead_when_the_service_ends(study: Path) -> None:
    leaving, answers = iter([False, True]), RunAnswers()
    read_ahead(Place.at(study / Place.at(study).names()[0]), answers, lambda: next(leaving))
    assert len(answers.remembered._known) == 1


def test_a_large_table_is_not_looked_through_for_metrics_that_it_is_known_to_lack(
    study: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, memory = study / name, slices.TablesInMemory()
    monkeypatch.setattr(slices, "_LARGE_BYTES", 0)
    monkeypatch.setattr(memory.calm, "later", lambda _: None)
    every = memory.from_files(run, "records", Selection(columns=("metric",)), ())
    assert every is not None and "loss" in every["metric"].to_pylist()
    loss = memory.from_files(run, "records", Selection({"metric": ("loss", "nowhere")}, ("round", "metric")), ())
    assert loss is not None and loss.num_rows > 0
    monkeypatch.setattr(slices, "load", lambda *_: pytest.fail("it is known"))
    none = memory.from_files(run, "records", Selection({"metric": ("nowhere",)}, ("round", "metric")), ())
    assert none is not None and none.schema.equals(loss.schema) and none.num_rows == 0


def test_a_large_table_answers_from_its_files_until_it_is_in_memory(
    study: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = study / name
    small = RunAnswers()
    wanted = [small.measured(run), small.curves(run, "loss"), small.layers(run), small.participation(run)]
    monkeypatch.setattr(slices, "_LARGE_BYTES", 0)
    reading: list[threading.Thread] = []
    start = threading.Thread.start

    def begin(thread: threading.Thread) -> None:
        if "Calm.later" in str(thread._target):  # type: ignore[attr-defined]
            reading.append(thread)
        else:
            start(thread)

    monkeypatch.setattr(threading.Thread, "start", begin)
    large = RunAnswers()
    assert [large.measured(run), large.curves(run, "loss"), large.layers(run), large.participation(run)] == wanted
    assert len(reading) == len({*reading}) > 0, "each table once"
    for thread in reading:
        thread.run()
    monkeypatch.setattr(slices, "load", lambda *_: pytest.fail("it is in memory"))
    again = RunAnswers(large.tables)
    assert [again.measured(run), again.curves(run, "loss")] == wanted[:2]
