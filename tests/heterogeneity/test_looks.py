"""Clusters of inconsistent records, maps of both models, and the verdict in words."""

import numpy as np
import pytest
import torch

from fedlayers.core.errors import UserError
from fedlayers.heterogeneity.clusters import inconsistent_clusters
from fedlayers.heterogeneity.maps import two_maps
from fedlayers.heterogeneity.two_models import TwoModels
from fedlayers.heterogeneity.verdicts import verdicts
from fedlayers.models.vision_transformer import VisionTransformer
from fedlayers.opening.run import Run
from metrics.attributions.attention import attention_maps
from metrics.attributions.grad_cam import enlarged, grad_cam, scaled
from tests.support.compared_runs import write_compared_runs


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(write_compared_runs(tmp_path_factory.mktemp("results"), model="cnn")[0])


def test_clusters_are_of_the_inconsistent_records(run: Run) -> None:
    two = TwoModels(run, 1)
    found = inconsistent_clusters(two, number=2)
    assert found.numbers.tolist() == np.flatnonzero(two.inconsistent).tolist()
    assert found.found.sizes.tolist() == np.bincount(found.found.labels).tolist()
    right = two.federated_probabilities.argmax(1) == np.asarray(two.records.truth)
    assert found.accuracy[0] == pytest.approx(right[found.numbers[found.found.labels == 0]].mean())


def test_what_cannot_be_clustered_is_told(run: Run) -> None:
    two = TwoModels(run, 1)
    with pytest.raises(UserError, match=r"number must be in 1 … \d+, the number of records, got 9999"):
        inconsistent_clusters(two, number=9999)
    with pytest.raises(UserError, match="linkage must be one of"):
        inconsistent_clusters(two, linkage="complete")
    two.__dict__["local_probabilities"] = two.federated_probabilities
    with pytest.raises(UserError, match="client 1 has no inconsistent records at round 2: choose another round"):
        inconsistent_clusters(two)


def test_maps_are_those_of_each_model(run: Run) -> None:
    two = TwoModels(run, 0)
    found = two_maps(two, [3, 1], "hires_cam", "conv1", label=4)
    inputs = two.records.features[[3, 1]]
    model = two.federated
    known = scaled(enlarged(grad_cam(model, model.get_submodule("conv1"), inputs, 4, "hires_cam"), (8, 8)))
    assert found.federated == pytest.approx(known.numpy(), abs=1e-6)
    assert found.difference == pytest.approx(found.local - found.federated) and found.layer == "conv1"
    assert two_maps(two, [0], "integrated_gradients").local.shape == (1, 8, 8)


@pytest.mark.parametrize(("method", "layer", "label", "sentence"), [
    ("cam", None, None, "method must be one of grad_cam, .*, got 'cam'"),
    ("grad_cam", "fc1", None, "layer must be one of conv1, conv2, got 'fc1'"),
    ("grad_cam", None, 77, "class"),
])  # fmt: skip
def test_what_no_map_is_of_is_told(run: Run, method: str, layer: str | None, label: int | None, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        two_maps(TwoModels(run, 0), [0], method, layer, label)


def test_a_model_without_convolutions_says_what_suits_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    plain = Run(write_compared_runs(tmp_path_factory.mktemp("results"))[0])
    with pytest.raises(UserError, match="the model has no convolutional layer: choose method=input_gradients"):
        two_maps(TwoModels(plain, 0), [0])
    assert two_maps(TwoModels(plain, 0), [0], "input_gradients").layer == ""


def test_a_map_of_attention_is_what_reaches_the_mean(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    two = TwoModels(run, 0)
    with pytest.raises(UserError, match="the model has no layer of attention: choose another method"):
        two_maps(two, [0], "attention")
    network = VisionTransformer((1, 8, 8), 10, patch=2, width=8, heads=2, blocks=1).eval()
    vars(two).update(local=network, federated=network)
    found = two_maps(two, [3, 1], "attention")
    (maps,) = attention_maps(network, two.records.features[[3, 1]]).values()
    # One layer: half of each patch is its own, the other half what it looks at, the mean over heads and patches.
    mean = (maps.mean(1) + torch.eye(16)).mean(1) / 2
    assert found.federated == pytest.approx(scaled(enlarged(mean.reshape(2, 4, 4), (8, 8))).numpy(), abs=1e-5)
    monkeypatch.setattr("fedlayers.heterogeneity.maps.tokens_reached", lambda *_: torch.ones(1, 5))
    with pytest.raises(UserError, match="attention is drawn over patches in a square, got 5: choose another method"):
        two_maps(two, [0], "attention")


def test_each_client_has_a_verdict(run: Run) -> None:
    found = verdicts(run, 2)
    assert sorted(found) == [0, 1, 2]
    assert all(set(one.tests) == {"label", "feature", "concept"} for one in found.values())
    assert found[0].sentence == verdicts(run, 2)[0].sentence
    with pytest.raises(UserError, match="inputs must be one of"):
        verdicts(run, 2, "server_test")
