"""What the service says about a client: equal to what the same functions say in Python."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from fedlayers.explore.app import application
from fedlayers.explore.place import Place
from fedlayers.heterogeneity.clusters import inconsistent_clusters
from fedlayers.heterogeneity.contrasts import of_cluster, overview
from fedlayers.heterogeneity.local_records import local_records
from fedlayers.heterogeneity.maps import two_maps
from fedlayers.heterogeneity.over_rounds import over_rounds
from fedlayers.heterogeneity.trajectory import trajectory
from fedlayers.heterogeneity.two_models import TwoModels
from fedlayers.heterogeneity.verdicts import verdicts
from fedlayers.opening.run import Run
from tests.support.compared_runs import write_compared_runs
from tests.support.fake_run import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(write_compared_runs(tmp_path_factory.mktemp("results"))[0])


@pytest.fixture(scope="module")
def client(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLAYERS_CACHE", str(tmp_path_factory.mktemp("cache")))
        app = application(Place.at(run.folder.parent))
    with TestClient(app, base_url="http://127.0.0.1:8000") as found:
        yield found


def answer(client: TestClient, run: Run, address: str, body: Any = None) -> Any:
    """Return the answer to a question, asked until it is there."""
    where = f"/api/runs/{run.folder.name}/{address}"
    end = time.monotonic() + 120
    while True:
        found = client.get(where) if body is None else client.post(where, json=body)
        if found.status_code != 202 or time.monotonic() > end:
            return found
        assert client.get(f"/api/jobs/{found.json()['job']}").json()["job"] == found.json()["job"]


def table(client: TestClient, run: Run, address: str, body: Any = None) -> tuple[pa.Table, dict[str, Any]]:
    found = answer(client, run, address, body)
    assert found.status_code == 200, found.text
    read = pa.ipc.open_stream(found.content).read_all()
    return read, json.loads((read.schema.metadata or {}).get(b"facts", b"{}"))


def test_outputs_are_those_of_both_models(client: TestClient, run: Run) -> None:
    found, told = table(client, run, "clients/1/outputs?round=1&inputs=client_train")
    compared = TwoModels(run, 1, 1, "client_train")
    assert found["federated"].to_pylist() == compared.federated_probabilities.argmax(1).tolist()
    assert found["local_confidence"].to_numpy() == pytest.approx(compared.local_probabilities.max(1), abs=1e-9)
    assert (~found["consistent"].to_numpy()).tolist() == compared.inconsistent.tolist()
    assert told["round"] == 1 and len(told["classes"]) == 10 and told["kind"] == "image" and told["names"] == []


def test_rounds_are_those_of_python(client: TestClient, run: Run) -> None:
    found, told = table(client, run, "clients/1/rounds/rounds?inputs=client_test")
    known = over_rounds(run, 1, "client_test")
    assert found["round"].to_pylist() == [1, 2] and told["local_accuracy"] == pytest.approx(known.local_accuracy)
    assert found["disagreement"].to_numpy() == pytest.approx(known.disagreement)
    found, _ = table(client, run, "clients/1/rounds/records?inputs=client_test")
    assert found["federated"].to_pylist() == known.classes.tolist()


def test_contrasts_are_those_of_python(client: TestClient, run: Run) -> None:
    scores, told = table(client, run, "clients/1/contrast/scores?alpha=2")
    known = overview(TwoModels(run, 1), alpha=2.0)
    assert np.column_stack([scores["c1"], scores["c2"]]) == pytest.approx(known.scores, abs=1e-8)
    loadings, _ = table(client, run, "clients/1/contrast/loadings?alpha=2")
    assert loadings["c2"].to_numpy() == pytest.approx(known.loadings[1], abs=1e-8) and told["alpha"] == 2
    body = {"examples": [0, 3, 5], "alpha": 1, "components": 1}
    scores, _ = table(client, run, "clients/1/contrast/scores", body)
    assert scores["c1"].to_numpy() == pytest.approx(of_cluster(TwoModels(run, 1), [0, 3, 5], 1.0, 1).scores[:, 0])


def test_clusters_maps_and_shifts_are_those_of_python(client: TestClient, run: Run) -> None:
    found, _ = table(client, run, "clients/1/clusters/records?number=2")
    known = inconsistent_clusters(TwoModels(run, 1), 2)
    assert found["cluster"].to_pylist() == known.found.labels.tolist()
    like, _ = table(client, run, "clients/1/clusters/clusters?number=2")
    assert like["accuracy"].to_numpy() == pytest.approx(known.accuracy)
    assert like["size"].to_pylist() == known.found.sizes.tolist()
    body = {"examples": [2], "method": "input_gradients"}
    found, told = table(client, run, "clients/1/maps", body)
    maps = two_maps(TwoModels(run, 1), [2], "input_gradients")
    assert np.array(found["difference"].to_pylist()).ravel() == pytest.approx(maps.difference.ravel(), abs=1e-9)
    assert told["shape"] == list(maps.local.shape[1:])
    found, told = table(client, run, "shifts?round=2")
    assert told["round"] == 2
    assert told["sentences"] == {
        str(one): verdict.told(run.facts["classes"]) for one, verdict in verdicts(run, 2).items()
    }


def test_records_and_features_are_the_data_sets(client: TestClient, run: Run) -> None:
    records = local_records(run, 2)
    found, told = table(client, run, "clients/2/examples?example=4&example=1")
    assert np.array(found["features"].to_pylist()) == pytest.approx(records.raw([4, 1]).flatten(1).numpy())
    assert found["truth"].to_pylist() == records.truth[[4, 1]].tolist() and told["shape"] == list(run.data.shape)
    found, _ = table(client, run, "clients/2/features/20?inputs=client_test")
    assert found["value"].to_numpy() == pytest.approx(
        local_records(run, 2, "client_test").raw().flatten(1)[:, 20].numpy()
    )


def test_the_way_of_the_parameters_is_pythons(client: TestClient, run: Run) -> None:
    found, told = table(client, run, "parameters?layer=fc1&client=0")
    known = trajectory(run, "fc1", 0)
    assert found["x"].to_numpy() == pytest.approx(known.points["x"].to_numpy(), abs=1e-9)
    assert told["explained"] == pytest.approx(known.explained)


@pytest.mark.parametrize(("address", "status", "sentence"), [
    ("clients/9/outputs", 409, "client must be a number in 0 … 2, got 9"),
    ("clients/0/outputs?round=77", 409, "has no model of owner server at round 77"),
    ("clients/0/features/64", 409, "feature must be a number in 0 … 63, got 64"),
    ("clients/0/examples?example=999", 409, "examples must be numbers in 0 … "),
    ("clients/0/contrast/scores?components=11", 422, "components must be 10 or less, got '11'"),
    ("clients/0/contrast/scores?alpha=nan", 422, "alpha must be a finite number, got 'nan'"),
    ("clients/0/outputs?wait=inf", 422, "wait must be a finite number, got 'inf'"),
    ("clients/x/outputs", 422, "client must be a whole number, got 'x'"),
    ("parameters?layer=fc9", 409, "layer must be one of All, fc1, fc2, got 'fc9'"),
])  # fmt: skip
def test_what_there_is_not_is_one_sentence(
    client: TestClient, run: Run, address: str, status: int, sentence: str
) -> None:
    found = answer(client, run, address)
    assert found.status_code == status and sentence in found.json()["detail"], found.text


def test_runs_that_kept_no_models_say_what_keeps_them(client: TestClient, tmp_path: Path) -> None:
    run = Run(write_run(tmp_path))
    with TestClient(application(Place.at(tmp_path)), base_url="http://127.0.0.1:8000") as bare:
        found = answer(bare, run, "clients/0/outputs")
    assert found.status_code == 409 and "snapshots.rounds=[all]" in found.json()["detail"], found.text
