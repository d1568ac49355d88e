"""Sampled parameters, the server's plane and cosines against scikit-learn and by hand."""

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from metrics.trajectory.projection import trajectory_plane, update_cosines
from metrics.trajectory.sampled import sampled_parameters

LAYERS = {"fc1": ["fc1.weight", "fc1.bias"], "fc2": ["fc2.weight"]}


def model(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"fc1.weight": (20, 30), "fc1.bias": (20,), "fc2.weight": (5, 20)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def test_parameters_are_of_the_same_places_in_every_model() -> None:
    first = sampled_parameters(model(0), LAYERS, 50)
    assert {layer: len(values) for layer, values in first.items()} == {"fc1": 50, "fc2": 50, "All": 50}
    numbered = {
        "fc1.weight": torch.arange(600.0).reshape(20, 30),
        "fc1.bias": 600 + torch.arange(20.0),
        "fc2.weight": 620 + torch.arange(100.0).reshape(5, 20),
    }
    places = sampled_parameters(numbered, LAYERS, 50)
    assert places["fc1"].max() < 620 <= places["fc2"].min() and len(set(places["All"].tolist())) == 50
    everything = torch.cat([model(0)[name].flatten() for name in ("fc1.weight", "fc1.bias", "fc2.weight")]).double()
    for layer, values in places.items():
        assert torch.equal(first[layer], everything[values.long()])
    whole = sampled_parameters(model(0), LAYERS, 10**6)
    assert torch.equal(whole["All"], everything)


def test_the_plane_is_that_of_pca() -> None:
    random = np.random.default_rng(0)
    server = random.standard_normal((8, 40)).cumsum(0)
    plane, pca = trajectory_plane(server), PCA(2, svd_solver="full").fit(server)
    client = random.standard_normal((3, 40))
    np.testing.assert_allclose(np.abs(plane.server), np.abs(pca.transform(server)), atol=1e-9)
    np.testing.assert_allclose(np.abs(plane.project(client)), np.abs(pca.transform(client)), atol=1e-9)
    np.testing.assert_allclose(plane.shares, pca.explained_variance_ratio_, atol=1e-12)
    off = np.linalg.norm(client - pca.inverse_transform(pca.transform(client)), axis=1)
    np.testing.assert_allclose(plane.distance(client), off, atol=1e-9)


def test_planes_of_more_rounds_keep_their_side() -> None:
    server = np.random.default_rng(1).standard_normal((9, 30)).cumsum(0)
    early = trajectory_plane(server[:8])
    for sign in (1, -1):
        turned = type(early)(early.mean, sign * early.directions, early.shares, sign * early.server)
        late = trajectory_plane(server, reference=turned)
        assert bool(((late.directions * turned.directions).sum(1) > 0).all())


def test_a_server_that_stands_still_has_no_way() -> None:
    plane = trajectory_plane(np.ones((3, 4)))
    assert plane.shares.tolist() == [0, 0] and not plane.server.any() and plane.directions.shape == (2, 4)
    assert trajectory_plane(np.array([[0.0, 0.0], [3.0, 4.0]])).shares.tolist() == [1, 0]


def test_cosines_by_hand() -> None:
    before, after, client = ({"a": torch.tensor(v), "b": torch.zeros(2)} for v in ([1.0, 1.0], [1.0, 2.0], [0.0, 1.0]))
    found = update_cosines(before, after, client)
    assert found["a"] == 0 and math.isnan(found["b"])
    assert update_cosines(before, after, after)["a"] == pytest.approx(1)


def test_what_has_no_way_is_told() -> None:
    with pytest.raises(
        ValueError, match=r"server must have shape \(rounds, parameters\), 2 rounds or more, got \(1, 3\)"
    ):
        trajectory_plane(np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"server must be finite"):
        trajectory_plane(np.full((2, 3), np.inf))
    with pytest.raises(ValueError, match=r"layers must name 1 layer or more, got none"):
        sampled_parameters(model(0), {})
    with pytest.raises(ValueError, match=r"layers must name parameters of the model, got \['fc9'\] for fc9"):
        sampled_parameters(model(0), {"fc9": ["fc9"]})
