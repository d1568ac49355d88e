"""What the service tells of damaged runs, of notes about what a run has not, of malformed requests, of its address."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

import fedlayers
from fedlayers.explore.app import application
from fedlayers.explore.mistakes.malformed import malformed_sentence
from fedlayers.explore.place import Place
from fedlayers.explore.serving import addresses
from fedlayers.runs.manifest import Manifest
from tests.support.fake_run import write_run


def asking(folder: Path) -> TestClient:
    return TestClient(application(Place.at(folder)), base_url="http://127.0.0.1:8000")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    for seed in (0, 1):
        write_run(folder, seed=seed)
    write_run(folder, seed=2, status="interrupted")
    return folder


@pytest.fixture(scope="module")
def client(study: Path) -> Iterator[TestClient]:
    with asking(study) as found:
        yield found


def test_a_part_of_a_table_that_was_cut_short_is_told_in_the_list(
    quick_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = quick_run("rounds=1", "engine=local")
    study = tmp_path / "study"
    shutil.copytree(run, study / run.name)
    looked = [0]

    def counted(manifest: Manifest, **where: Any) -> Iterator[Any]:
        looked[0] += 1
        return iter(real(manifest, **where))

    real = Manifest.rounds
    monkeypatch.setattr(Manifest, "rounds", counted)
    with asking(study) as client:
        assert [line["status"] for line in client.get("/api/runs").json()] == ["complete"]
        assert looked == [1]  # once for all tables
        part = next((study / run.name / "records").glob("round=000001.parquet"))
        part.write_bytes(part.read_bytes()[:-7])
        (line,) = client.get("/api/runs").json()
        assert line["status"] == "damaged" and "round=000001.parquet has" in line["reason"]
        assert client.get(f"/api/runs/{run.name}/tables/records").status_code == 409


def test_a_run_that_was_copied_under_another_name_is_the_run_of_that_name(
    quick_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = quick_run("rounds=1", "engine=local")
    for name in (run.name, "copied"):
        shutil.copytree(run, tmp_path / "study" / name)
    with asking(tmp_path / "study") as client:
        listed = client.get("/api/runs").json()
        assert {line["run"] for line in listed} == {line["facts"]["run"] for line in listed} == {run.name, "copied"}
        assert client.get("/api/runs/copied").json()["facts"]["run"] == "copied"
        assert client.get("/api/runs/copied/charts/layers").status_code == 200
    tables = fedlayers.read(tmp_path / "study")
    assert {*tables.records["run"].unique()} == {*tables.facts["run"]} == {run.name, "copied"}


def test_a_run_that_lost_its_facts_says_what_to_do(quick_run: Callable[..., Path], tmp_path: Path) -> None:
    run = quick_run("rounds=1", "engine=local")
    shutil.copytree(run, tmp_path / "study" / run.name)
    (tmp_path / "study" / run.name / "run.json").unlink()
    with asking(tmp_path / "study") as client:
        (line,) = client.get("/api/runs").json()
        assert line["status"] == "damaged"
        assert line["reason"] == (
            f"run {run.name} has lost its run.json: restore it from a copy, or start the same command again, which "
            "writes it anew"
        )


@pytest.mark.parametrize(("note", "sentence"), [
    ({"client": 3}, "client must be a number in 0 … 2, got 3"),
    ({"round": 5}, "round must be a number in 0 … 4, the last one so far, got 5"),
    ({"client": 0, "inputs": "nix"}, "inputs must be one of local, client_train, client_val, client_test, stratified"),
    ({"examples": [0]}, "client must be given with examples"),
    ({"client": 0, "examples": [0, 99999]}, "examples must be numbers in 0 … "),
    ({"client": 0, "inputs": "systematic", "examples": [1000]}, "examples must be numbers in 0 … "),
    ({"client": 0, "examples": [-1]}, "examples must be numbers in 0 … "),
])  # fmt: skip
def test_a_note_is_about_what_the_run_has(client: TestClient, study: Path, note: dict[str, Any], sentence: str) -> None:
    address = f"/api/runs/{Place.at(study).names()[0]}/annotations"
    answer = client.post(address, json={"text": "odd"} | note)
    assert answer.status_code == 409 and answer.json()["detail"].startswith(sentence), answer.text
    assert client.get(address).json() == []


def test_rows_of_several_runs_come_with_what_tells_them_apart(client: TestClient, study: Path) -> None:
    answer = client.get("/api/tables/records", params={"metric": "loss", "round": 1})
    found = pa.ipc.open_stream(answer.content).read_pandas()
    frame = fedlayers.read(study).records
    frame = frame[(frame["metric"] == "loss") & (frame["round"] == 1) & (frame["seed"] < 2)]
    assert int(answer.headers["X-Total-Rows"]) == len(found) == len(frame) > 0
    assert sorted(found["value"]) == sorted(frame["value"]) and set(found["seed"]) == {0, 1}
    one: dict[str, Any] = {
        "run": Place.at(study).names()[0],
        "metric": "loss",
        "columns": ["seed", "algorithm", "seed"],
        "limit": 2,
    }
    table = pa.ipc.open_stream(client.get("/api/tables/records", params=one).content).read_all()
    assert table.column_names == ["seed", "algorithm"] and table.num_rows == 2
    assert client.get("/api/tables/records", params={**one, "format": "json"}).json()["algorithm"] == ["fedavg"] * 2


@pytest.mark.parametrize(("query", "status", "sentence"), [
    ("run=nix", 404, "run must be one of "),
    ("metric=los", 409, "metric must be "),
    ("columns=nix", 409, "columns must be some of "),
    ("limit=0", 422, "limit must be 1 or more, got '0'"),
    ("limit=0&colour=red", 422, "limit must be 1 or more, got '0' (and 1 more parameter)"),
    ("format=xml", 422, "format must be one of arrow, json, got 'xml'"),
])  # fmt: skip
def test_what_cannot_be_answered_is_one_sentence(client: TestClient, query: str, status: int, sentence: str) -> None:
    answer = client.get(f"/api/tables/records?{query}")
    assert answer.status_code == status and answer.json()["detail"].startswith(sentence), answer.text
    # The page asks to be told, for a browser notes other statuses as errors.
    told = client.get(f"/api/tables/records?{query}", headers={"X-Refusals": "told"})
    assert told.status_code == 200 and told.headers["X-Refused"] == str(status) and told.json() == answer.json()


def test_a_place_without_complete_runs_has_no_rows_of_all(tmp_path: Path) -> None:
    write_run(tmp_path, status="interrupted")
    with asking(tmp_path) as client:
        answer = client.get("/api/tables/records")
        assert answer.status_code == 409 and "no run of this folder is complete yet" in answer.json()["detail"]


@pytest.mark.parametrize(("body", "sentence"), [
    ({"text": ""}, "text must be a text of 1 characters or more, got ''"),
    ({"text": "a", "client": "x"}, "client must be a whole number, got 'x'"),
    ({"text": "a", "examples": ["x"]}, "examples must be a whole number, got 'x'"),
    ({}, "text must be given"),
    ([], "the body must be an object, got []"),
    ({"text": "a", "nix": 1}, "nix must be left out, for there is no such parameter"),
])  # fmt: skip
def test_a_malformed_body_is_told_in_words(client: TestClient, study: Path, body: Any, sentence: str) -> None:
    answer = client.post(f"/api/runs/{Place.at(study).names()[0]}/annotations", json=body)
    assert answer.status_code == 422 and answer.json()["detail"].startswith(sentence), answer.text


def test_rare_mistakes_keep_their_words_and_what_is_no_json_is_told(client: TestClient, study: Path) -> None:
    assert malformed_sentence([{"type": "x", "loc": ("query", "a"), "msg": "Input should be blue", "input": 1}]) == (
        "a must be blue, got 1"
    )
    where = f"/api/runs/{Place.at(study).names()[0]}/annotations"
    answer = client.post(where, content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 422 and answer.json()["detail"].startswith("the body must be JSON, got something else")


def test_the_address_that_is_printed_can_be_opened() -> None:
    token = "a-long-secret-of-mine"
    here, elsewhere = addresses("0.0.0.0", 8000, token)
    assert here == f"http://127.0.0.1:8000/?token={token}" and elsewhere.endswith(f":8000/?token={token}")
    assert "0.0.0.0" not in elsewhere
    assert addresses("::", 80, token)[0] == f"http://[::1]:80/?token={token}"
    assert addresses("127.0.0.1", 80, None) == ("http://127.0.0.1:80/", "")
    assert addresses("::1", 80, None) == ("http://[::1]:80/", "")
