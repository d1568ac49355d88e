"""Runs with clusters of clients: FedAvg in the degenerate case, the same after a kill and on Ray, groups found."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from flwr.app import RecordDict
from sklearn.metrics import adjusted_rand_score

from clients.ifca import IFCAClient
from fedlayers import read
from fedlayers.config.compose import compose_config
from fedlayers.core.errors import UserError
from fedlayers.execution.assembly import assembled
from fedlayers.flower.session import Session
from fedlayers.models import build_model
from fedlayers.runs.folder import RunFolder
from tests.execution.test_resume import Crash, crash_at
from tests.support.runs_there import RunsThere

pytestmark = pytest.mark.usefixtures("device")

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
# More than five clients, so that FedAvg sums in blocks, and clients of different weight.
UNEQUAL = ["engine=local", "clients=7", "partition=quantity", "examples_per_client=null", "rounds=3"]
DEGENERATE = {
    "clustered": ["algorithm=clustered", "algorithm.method=spectral", "algorithm.number=1"],
    "clustered, none found": ["algorithm=clustered"],
    "clustered, not yet": ["algorithm=clustered", "algorithm.first_round=9"],
    "ifca": ["algorithm=ifca", "algorithm.k=1"],
    "cfl": ["algorithm=cfl", "algorithm.eps1=0"],
    "pfedla": ["algorithm=pfedla", "algorithm.hypernetwork_lr=0"],
}
GROUPS = ["plant.kind=permuted_labels", "plant.groups=2", "clients=6"]
CLUSTERING = {
    "clustered": ["algorithm=clustered", "algorithm.every=2", "fraction=0.7"],
    "ifca": ["algorithm=ifca", "fraction=0.7"],
    "cfl": ["algorithm=cfl", "algorithm.eps1=9", "algorithm.eps2=0"],
}


def checkpoint(run: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load

    folder = RunFolder(run)
    last = folder.last_round()
    assert last is not None
    return load(folder.checkpoint(last)[0])


def clusters_of(run: Path) -> dict[int, int]:
    """Return the cluster of every client after the last round, as the checkpoint has it."""
    folder = RunFolder(run)
    last = folder.last_round()
    assert last is not None
    found = folder.checkpoint(last)[1]["strategy"]["clusters"]["dict of integers"]
    return {int(node) - 1: cluster for node, cluster in found.items()}


def scores(run: Path) -> pd.Series:
    """Return loss and accuracy by all keys but the kind of model."""
    # Where there are several models, none is evaluated again at the end on clients that the best round did not ask.
    rows = read(run).records.query("metric in ('loss', 'accuracy', 'training_loss') and moment != 'best'")
    keys = ["round", "moment", "owner", "client", "scope", "metric"]
    # Categories depend on what else was measured.
    return rows.astype(dict.fromkeys(("moment", "owner", "scope", "metric"), str)).set_index(keys).sort_index().value


@pytest.fixture(scope="module")
def fedavg(quick_run: Run) -> RunsThere:
    return RunsThere({"1": 1, "0.9": 0.9}, lambda fraction: quick_run(*UNEQUAL, f"fraction={fraction}"))


@pytest.mark.parametrize("name", DEGENERATE)
def test_with_one_cluster_it_is_fedavg_bit_for_bit(fedavg: RunsThere, quick_run: Run, name: str) -> None:
    # CFL needs all clients, and pFedLA averages all models it knows; the others get six of seven in every round.
    fraction = "1" if name in ("cfl", "pfedla") else "0.9"
    run = quick_run(*UNEQUAL, f"fraction={fraction}", *DEGENERATE[name])
    expected, found = checkpoint(fedavg[fraction]), checkpoint(run)
    assert all(torch.equal(found[key], array) for key, array in expected.items() if key.startswith("weights/"))
    pd.testing.assert_series_equal(scores(run), scores(fedavg[fraction]), check_exact=True)


@pytest.fixture(scope="module")
def undisturbed(quick_run: Run) -> RunsThere:
    return RunsThere(CLUSTERING, lambda name: quick_run("rounds=3", "engine=local", *GROUPS, *CLUSTERING[name]))


@pytest.mark.parametrize("name", CLUSTERING)
@pytest.mark.parametrize(("place", "server_round"), [("_train", 3), ("commit", 2)])
def test_killed_it_continues_bit_for_bit(
    undisturbed: RunsThere,
    quick_run: Run,
    tables: Tables,
    tmp_path: Path,
    name: str,
    place: str,
    server_round: int,
) -> None:
    overrides = ["rounds=3", "engine=local", *GROUPS, *CLUSTERING[name]]
    with crash_at(place, server_round), pytest.raises(Crash):
        quick_run(*overrides, folder=tmp_path)
    run = quick_run(*overrides, folder=tmp_path)
    assert tables(run) == tables(undisturbed[name])
    assert clusters_of(run) == clusters_of(undisturbed[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clustered", "ifca"])
def test_ray_equals_local_bit_for_bit(undisturbed: RunsThere, quick_run: Run, tables: Tables, name: str) -> None:
    run = quick_run("rounds=3", "engine=ray", "engine.client_cpus=0.5", "engine.workers=2", *GROUPS, *CLUSTERING[name])
    assert tables(run) == tables(undisturbed[name])


FOUND = {
    "clustered": ["algorithm=clustered"],
    "agglomerative": ["algorithm=clustered", "algorithm.method=agglomerative", "algorithm.number=2"],
    "ifca": ["algorithm=ifca"],
    "cfl": ["algorithm=cfl", "algorithm.eps1=9", "algorithm.eps2=0"],
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("clustered", "rotation"), ("agglomerative", "permuted_labels"), ("ifca", "rotation"), ("cfl", "permuted_labels")],
)
def test_planted_groups_are_found(quick_run: Run, name: str, kind: str) -> None:
    training = ["rounds=3", "examples_per_client=120", "training.epochs=2", "engine=local", "metrics=[evaluation]"]
    run = quick_run(*training, "clients=6", f"plant.kind={kind}", "plant.groups=2", *FOUND[name])
    planted = pd.read_parquet(run / "partition.parquet").groupby("client").planted_group.first()
    found = clusters_of(run)
    assert adjusted_rand_score(planted, [found[client] for client in planted.index]) == 1


def session_of_client(client: int) -> Session:
    workspace = assembled(
        compose_config(
            ["clients=4", "partition=iid", "model.hidden=[16]", "metrics=[]", "algorithm=ifca", "device=cpu"]
        )
    )
    return Session(workspace, client, 1, 2, "after_local", {}, RecordDict())


def test_an_ifca_client_chooses_the_model_with_the_lowest_loss() -> None:
    session = session_of_client(2)
    workspace = session.workspace
    networks = [
        build_model(workspace.config.model, workspace.federation.shape, 10, seed).requires_grad_(False)
        for seed in range(5)
    ]
    examples = session.data()["client_train"]
    features, labels = examples.batch(torch.arange(len(examples)))
    losses = [torch.nn.functional.cross_entropy(network(features).double(), labels).item() for network in networks]
    models = [[array.numpy() for array in network.parameters()] for network in networks]
    client = IFCAClient(session)
    assert client.choose(models) == int(np.argmin(losses))
    assert client.choose(models[::-1]) == 4 - int(np.argmin(losses))
    assert client.choose([models[0], models[0]]) == 0
    broken = [np.full_like(array, np.nan) for array in models[0]]
    assert client.choose([broken, models[3]]) == 1
    assert client.choose([broken, broken]) == 0


def test_averaged_batch_norm_is_refused_and_local_runs(quick_run: Run) -> None:
    words = [
        "engine=local",
        "algorithm=clustered",
        "model._target_=tests.support.odd_models.TinyBatchNorm",
        "metrics=[evaluation]",
    ]
    sentence = (
        "training.buffers must be local with clusters and batch normalisation, got 'average'; statistics averaged"
    )
    with pytest.raises(UserError, match=sentence):
        quick_run(*words)
    assert (quick_run(*words, "training.buffers=local") / "done.json").exists()


@pytest.mark.parametrize("name", CLUSTERING)
def test_every_client_is_evaluated_with_its_clusters_model_at_the_end(undisturbed: RunsThere, name: str) -> None:
    rows = read(undisturbed[name]).records
    last = rows[(rows.owner == "client") & (rows["round"] == 3) & rows.metric.isin(["loss", "accuracy"])]
    after, final = (
        last[last.moment == moment].set_index(["client", "scope", "metric"]).sort_index().value
        for moment in ("after_aggregate", "final")
    )
    assert len(final)
    # All clients are evaluated at the end, with a fraction only some before.
    pd.testing.assert_series_equal(after, final.loc[after.index], check_exact=True)


@pytest.mark.parametrize("name", CLUSTERING)
def test_who_is_in_which_cluster_stands_in_the_tables(undisturbed: RunsThere, name: str) -> None:
    run = undisturbed[name]
    rows = read(run).records.query("metric == 'cluster'")
    assert set(zip(rows.owner, rows.moment, strict=True)) == {("server", "after_local")}
    assert sorted(rows["round"].unique()) == [1, 2, 3] and not rows.duplicated(["round", "client"]).any()
    last = rows[rows["round"] == 3]
    found = zip(last.client.tolist(), last.value.tolist(), strict=True)
    assert {int(client): int(value) for client, value in found} == clusters_of(run)
