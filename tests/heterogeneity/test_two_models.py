"""A client's records, two models' answers about them, contrasts, and the way of the parameters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from fedlayers.config.compose import compose_config
from fedlayers.core.errors import UserError
from fedlayers.heterogeneity.contrasts import of_cluster, overview
from fedlayers.heterogeneity.local_records import local_records
from fedlayers.heterogeneity.standalone import standalone_model, standalone_run, trained_alone
from fedlayers.heterogeneity.trajectory import trajectory
from fedlayers.heterogeneity.two_models import TwoModels
from fedlayers.opening.run import Run
from tests.support.compared_runs import write_compared_runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    together, alone = write_compared_runs(tmp_path_factory.mktemp("results"))
    return Run(together), Run(alone)


@pytest.fixture(scope="module")
def together(runs: tuple[Run, Run]) -> Run:
    return runs[0]


def test_local_records_are_all_of_a_clients_examples(together: Run) -> None:
    records = local_records(together, 1)
    parts = [together.data.splits[scope][1] for scope in ("client_train", "client_val", "client_test")]
    assert len(records) == sum(len(part) for part in parts)
    assert records.truth.tolist() == [label for part in parts for label in part.targets().tolist()]
    first = parts[0]
    assert torch.equal(records.features[: len(first)], first.batch(torch.arange(len(first)))[0])
    assert records.scopes[-1] == "client_test" and len(local_records(together, 1, "client_val")) == len(parts[1])


def test_raw_records_are_those_of_the_data_set(together: Run) -> None:
    records = local_records(together, 0, "client_train")
    examples = together.data.splits["client_train"][0]
    assert torch.equal(records.raw([2, 0]), examples.features[examples.index[[2, 0]]].float())
    with pytest.raises(UserError, match=r"examples must be numbers in 0 … \d+, got 99999"):
        records.raw([99999])


def test_standalone_models_are_those_of_the_local_run(runs: tuple[Run, Run]) -> None:
    together, alone = runs
    found = standalone_run(together)
    assert found is not None and found.folder == alone.folder
    weights = alone.weights(2, 1)
    state = standalone_model(together, 1).state_dict()
    assert all(torch.equal(state[name], weights[name]) for name in weights)


def test_without_a_local_run_the_sentence_says_how_to_have_one(tmp_path: Path) -> None:
    [folder] = write_compared_runs(tmp_path, ("fedavg",))
    with pytest.raises(UserError, match=r"has no stand-alone models.*python -m fedlayers.heterogeneity .* trains them"):
        standalone_model(Run(folder), 0)


def test_answers_agree_with_the_runs_own_tests(runs: tuple[Run, Run]) -> None:
    together, alone = runs
    for client in range(3):
        compared = TwoModels(together, client, 2, "client_test")
        truth = np.asarray(compared.records.truth)
        for run, given, model in (
            (together, compared.federated_probabilities, "global"),
            (alone, compared.local_probabilities, "personal"),
        ):
            wanted: dict[str, Any] = {
                "metric": "accuracy",
                "client": client,
                "scope": "client_test",
                "moment": "after_aggregate",
            }
            rows = run.records(**wanted, rounds=2)
            [stated] = rows[rows["model"] == model]["value"]
            assert np.mean(given.argmax(1) == truth) == pytest.approx(stated, abs=1e-9)


def test_permuted_labels_are_inconsistent(together: Run) -> None:
    shares = [TwoModels(together, client).inconsistent.mean() for client in range(3)]
    # Group 0 keeps its labels; the others' are permuted, so that no one model can serve all.
    assert max(shares) > 0.3


def test_alpha_0_is_pca(together: Run) -> None:
    compared = TwoModels(together, 0)
    rows = compared.records.features.flatten(1).double().numpy()
    found, known = overview(compared, alpha=0.0), PCA(2).fit_transform(rows)
    assert np.abs(found.scores) == pytest.approx(np.abs(known), abs=1e-8)
    assert found.loadings.shape == (2, rows.shape[1]) and found.alpha == 0


def test_contrasts_name_what_is_missing(together: Run) -> None:
    compared = TwoModels(together, 0)
    with pytest.raises(UserError, match=r"examples must be numbers in 0 … \d+, one or more, got none"):
        of_cluster(compared, [])
    with pytest.raises(UserError, match="components must be"):
        overview(compared, alpha=0.0, components=10_000)
    agreeing = TwoModels(together, 0)
    agreeing.__dict__["local_probabilities"] = agreeing.federated_probabilities
    with pytest.raises(UserError, match=r"client 0 has 0 inconsistent records at round 2.*alpha=0 for PCA"):
        overview(agreeing)
    assert overview(agreeing, alpha=0.0).alpha == 0


def in_one_row(weights: Mapping[str, Tensor]) -> np.ndarray:
    """Return a model's parameters in the order of their names, as files and modules have different ones."""
    return torch.cat([weights[name].flatten() for name in sorted(weights)]).double().numpy()


def test_the_way_is_that_of_the_servers_models(together: Run) -> None:
    found = trajectory(together, sampled=10**9)
    points = found.points.set_index(["round", "owner"])
    models = [together.network().state_dict(), together.weights(1), together.weights(2)]
    vectors = np.stack([in_one_row(model) for model in models])
    known = PCA(2).fit(vectors)
    ours = found.points[found.points["owner"] == "server"][["x", "y"]].to_numpy()
    assert np.abs(ours) == pytest.approx(np.abs(known.transform(vectors)), abs=1e-8)
    assert found.explained == pytest.approx(known.explained_variance_ratio_, abs=1e-9)
    client = in_one_row(together.weights(2, 1))
    step, own = vectors[2] - vectors[1], client - vectors[1]
    assert points.loc[(2, "1"), "cosine"] == pytest.approx(step @ own / np.linalg.norm(step) / np.linalg.norm(own))


def test_round_0_is_where_the_run_began(together: Run) -> None:
    norms = together.records(metric="accuracy", moment="start", scope="server_test")
    examples = together.data.server_test
    features, labels = examples.batch(torch.arange(len(examples)))
    right = (together.network()(features).argmax(1) == labels).double().mean().item()
    assert right == pytest.approx(norms["value"].iloc[0], abs=1e-9)


def test_a_layers_way_is_of_its_parameters(together: Run) -> None:
    found = trajectory(together, "fc2", client=1)
    assert found.sampled == sum(w.numel() for name, w in together.weights(1).items() if name.startswith("fc2."))
    assert set(found.points["owner"]) == {"server", "1"}


@pytest.mark.parametrize(("layer", "client", "sentence"), [
    ("fc9", None, r"layer must be one of All, fc1, fc2, got 'fc9' \(did you mean fc"),
    ("All", 7, "client must be a number in 0 … 2, got 7"),
])  # fmt: skip
def test_what_there_is_not_is_told(together: Run, layer: str, client: int | None, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        trajectory(together, layer, client)


def test_unknown_records_and_rounds_are_told(together: Run) -> None:
    with pytest.raises(UserError, match=r"inputs must be one of local, .*, got 'loca' \(did you mean local"):
        local_records(together, 0, "loca")
    with pytest.raises(UserError, match="client must be a number in 0 … 2, got 3"):
        local_records(together, 3)
    with pytest.raises(UserError, match="has no model of owner server at round 9"):
        TwoModels(together, 0, 9).federated_probabilities


def test_clients_train_alone_in_all_rounds_whatever_a_federation_samples() -> None:
    words = ["fraction=0.5", "plan=head", "algorithm=fedprox", "training.epochs=2", "metrics=[evaluation,weights]"]
    alone = trained_alone(compose_config(words))
    assert (alone.fraction, alone.plan.name, alone.algorithm["name"]) == (1.0, "all", "local")
    assert alone.training.epochs == 2 and list(alone.metrics) == ["evaluation"]
    assert alone.algorithm == compose_config(["algorithm=local"]).algorithm
