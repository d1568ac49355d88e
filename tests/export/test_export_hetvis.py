"""Runs in the files of HetVis: what its description says is there, without pickles, and the same numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fedlayers.core.errors import UserError
from fedlayers.export.hetvis.hetvis_export import HetVisExport
from fedlayers.export.hetvis.opened import HetVisFolder, arrays
from fedlayers.heterogeneity.trajectory import trajectory
from fedlayers.heterogeneity.two_models import TwoModels
from fedlayers.opening.run import Run
from tests.support.compared_runs import write_compared_runs

HISTORY = "history/digits"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(write_compared_runs(tmp_path_factory.mktemp("results"))[0])


@pytest.fixture(scope="module")
def folder(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return HetVisExport(str(tmp_path_factory.mktemp("hetvis"))).write(run).folder


def test_each_client_has_the_files_that_the_description_names(folder: Path) -> None:
    assert sorted(place.name for place in folder.iterdir()) == ["Client-0", "Client-1", "Client-2"]
    names = {str(file.relative_to(folder / "Client-1")) for file in (folder / "Client-1").rglob("*.*")}
    assert names == {
        *("datasets/digits/samples.npz", "cache/affinity_digits.npz", f"{HISTORY}/model_info.npz"),
        *(f"{HISTORY}/validation.npz", f"{HISTORY}/checkpoints/Client-1/Client-1_Local_best.cp"),
        *(f"{HISTORY}/checkpoints/Server/Server_r{n}.cp" for n in (1, 2)),
        *(f"{HISTORY}/outputs/Client-1_{model}.npz" for model in ("local", "Server_r1", "Server_r2")),
        *(f"{HISTORY}/weights/{owner}_r{n}.npz" for n in (1, 2) for owner in ("Server", "Client-1")),
        *(f"{HISTORY}/weights/{name}.npz" for name in ("weights_0", "cosines")),
    }


def test_samples_and_outputs_are_the_clients(run: Run, folder: Path) -> None:
    opened, two = HetVisFolder.open(folder / "Client-1"), TwoModels(run, 1, 2)
    samples = opened.samples
    assert samples["local"].shape == (1, len(two.records), 64)
    assert samples["label_names"].tolist() == run.facts["classes"]
    assert samples["ground_truth"][0].tolist() == np.asarray(two.records.truth).tolist()
    assert samples["train_size"][0] + samples["test_size"][0] < len(two.records)
    assert opened.outputs("Client-1")["local"].tolist() == two.local_probabilities.argmax(1).tolist()
    assert opened.outputs("Client-1", 2)["local"].tolist() == two.federated_probabilities.argmax(1).tolist()
    affinity = arrays(opened.layout.affinity)["Client-1/local"]
    assert affinity.shape == 2 * (len(two.records),) and np.array_equal(affinity, affinity.T)


def test_weights_and_cosines_are_those_of_the_models(run: Run, folder: Path) -> None:
    opened = HetVisFolder.open(folder / "Client-1")
    assert opened.rounds == [1, 2]
    weights = opened.weights("Server", 2)
    assert weights["layers"].shape[0] == 2 and weights["all"].ndim == 1
    cosines = arrays(opened.layout.history / "weights" / "cosines.npz")["Client-1"]
    points = trajectory(run, client=1).points
    assert cosines.shape == (3, 2)
    assert cosines[2] == pytest.approx(points[points["owner"] == "1"]["cosine"].to_numpy())
    progress = arrays(opened.layout.history / "validation.npz")
    stated = run.records(metric="accuracy", client=1, scope="client_val", moment="after_aggregate", rounds=2)
    assert progress["val_acc"][0, 1] == pytest.approx(stated["value"].iloc[0])


def test_checkpoints_load_without_pickles(run: Run, folder: Path) -> None:
    file = folder / "Client-0" / HISTORY / "checkpoints" / "Server" / "Server_r2.cp"
    found, known = torch.load(file, weights_only=True), run.weights(2)
    assert found.keys() == known.keys() and all(torch.equal(found[name], known[name]) for name in known)


def test_a_run_is_written_once(run: Run, folder: Path) -> None:
    with pytest.raises(UserError, match="exists already: delete it, or export into another folder"):
        HetVisExport(str(folder.parent)).write(run)


def test_a_run_that_kept_too_little_says_what_keeps_it(tmp_path: Path) -> None:
    [bare] = write_compared_runs(tmp_path / "results", ("fedavg",))
    with pytest.raises(UserError, match="has no stand-alone models"):
        HetVisExport(str(tmp_path / "out")).write(Run(bare))
    for file in (bare / "snapshots").glob("client*"):
        file.unlink()
    with pytest.raises(UserError, match=r"run it with snapshots.rounds=\[all\] snapshots.clients=true"):
        HetVisExport(str(tmp_path / "out")).write(Run(bare))
    assert list((tmp_path / "out").iterdir()) == []


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    samples = tmp_path / "datasets" / "mnist" / "samples.npz"
    samples.parent.mkdir(parents=True)
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.zeros(2), np.zeros(3)]
    np.savez(samples, local=ragged)
    opened = HetVisFolder.open(tmp_path)
    with pytest.raises(UserError, match="it holds pickled objects, which can run any code"):
        opened.samples
    samples.write_bytes(b"no archive")
    with pytest.raises(UserError, match="it is no npz file"):
        arrays(samples)
    with pytest.raises(UserError, match=r"there is no .*Client-0_local.npz"):
        opened.outputs("Client-0")
    with pytest.raises(UserError, match=r"must hold one datasets/<name>/samples.npz, got 0"):
        HetVisFolder.open(tmp_path / "datasets")
