"""Networks whose layers answer by themselves: what they compute, written out, and their mistakes."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from fedlayers.core.anchors import Anchors
from fedlayers.core.errors import UserError
from fedlayers.core.layers import layers_of
from fedlayers.core.stages import readouts_of, representations, stages
from fedlayers.models import build_model

SHAPE, CLASSES = (1, 3, 4), 5
FEATURES = torch.randn(6, *SHAPE, generator=torch.Generator().manual_seed(0))
GREEDY, MONO = "greedy_mlp.GreedyMLP", "greedy_mlp.MonoForward"


def built(target: str, **options: Any) -> nn.Module:
    node = {"name": "x", "_target_": f"fedlayers.models.{target}", "width": 8, "layers": 3, **options}
    return build_model(node, SHAPE, CLASSES, seed=7).double()


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: own.detach() for name, own in network.named_parameters()}


@pytest.mark.parametrize("normalise", [None, 1, 2])
@pytest.mark.parametrize("residual", [False, True])
def test_layers_are_the_equation_of_the_chain(normalise: int | None, residual: bool) -> None:
    network = built(GREEDY, normalise=normalise, residual=residual)
    w = weights(network)
    h = x = FEATURES.double().flatten(1)
    expected = []
    for depth in (1, 2, 3):
        x = h if normalise is None else h / h.norm(p=normalise, dim=1, keepdim=True).clamp(min=1e-6)
        skip = (x @ w["fc1.skip.weight"].T if depth == 1 else x) if residual else 0
        h = (x @ w[f"fc{depth}.weight"].T + w[f"fc{depth}.bias"] + skip).relu()
        expected.append(h)
    with torch.no_grad():
        for found, one in zip(representations(stages(network), FEATURES.double()), expected, strict=True):
            torch.testing.assert_close(found, one)
        anchors = Anchors(CLASSES, 8, seed=7)
        torch.testing.assert_close(network(FEATURES.double()), normalize(h, dim=1) @ anchors.rows(h).T / 0.1)
    assert [stage.name for stage in stages(network)] == ["fc1", "fc2", "fc3"]


def test_weights_are_kaiming_uniform_and_biases_zero() -> None:
    network = built(GREEDY, width=400)
    w = weights(network)
    limit = (6 / 12) ** 0.5
    assert 0.95 * limit < w["fc1.weight"].abs().max() <= limit and not w["fc1.bias"].any()


def test_learned_anchors_are_layers_and_drawn_ones_are_not() -> None:
    names = [layer.name for layer in layers_of(built(GREEDY, anchors="learned"))]
    assert names == ["fc1", "anchors1", "fc2", "anchors2", "fc3", "anchors3"]
    assert [layer.name for layer in layers_of(built(GREEDY))] == ["fc1", "fc2", "fc3"]
    classifiers = [layer.name for layer in layers_of(built(MONO)) if "classifier" in layer.name]
    assert classifiers == ["classifier1", "classifier2", "classifier3"]


def test_one_layer_is_a_chain() -> None:
    for target in (GREEDY, MONO, "forward_forward.ForwardForward"):
        network = built(target, layers=1)
        assert len(stages(network)) == 1
        assert network(FEATURES.double()).shape == (6, CLASSES)
    readouts = readouts_of(built(MONO, layers=1))
    assert readouts is not None and len(readouts) == 1


@pytest.mark.parametrize("normalise", [False, True])
def test_energies_of_forward_forward_are_sums_of_squares_of_each_label(normalise: bool) -> None:
    network = built("forward_forward.ForwardForward", normalise=normalise)
    w, expected = weights(network), []
    for label in range(CLASSES):
        beside = one_hot(torch.full((6,), label), CLASSES)
        h, energy = torch.cat([FEATURES.double().flatten(1), beside], 1), torch.zeros(6).double()
        for depth in (1, 2, 3):
            x = normalize(h, dim=1) if normalise and depth > 1 else h
            h = (x @ w[f"fc{depth}.weight"].T + w[f"fc{depth}.bias"]).relu()
            energy = energy + (h**2).sum(1)
        expected.append(energy)
    with torch.no_grad():
        torch.testing.assert_close(network(FEATURES.double()), torch.stack(expected, 1))
        # Stages see a label that says nothing.
        first = next(representations(stages(network), FEATURES.double()))
    neutral = torch.cat([FEATURES.double().flatten(1), torch.full((6, CLASSES), 1 / CLASSES)], 1)
    torch.testing.assert_close(first, (neutral @ w["fc1.weight"].T + w["fc1.bias"]).relu())


@pytest.mark.parametrize(
    ("target", "options", "sentence"),
    [
        (GREEDY, {"layers": 0}, r"model\.layers must be 1 or more, got 0"),
        (GREEDY, {"width": 0}, r"model\.width must be 1 or more, got 0"),
        (GREEDY, {"normalise": 3}, r"model\.normalise must be 1, 2 or null, got 3"),
        (GREEDY, {"similarity": "dot"}, r"model\.similarity must be one of cosine, l2, got 'dot'"),
        (GREEDY, {"anchors": "own"}, r"model\.anchors must be one of orthonormal, random, learned, class_means, got"),
        (MONO, {"layers": -1}, r"model\.layers must be 1 or more, got -1"),
        ("forward_forward.ForwardForward", {"theta": float("inf")}, r"model\.theta must be a number, got inf"),
        ("forward_forward.ForwardForward", {"width": 0}, r"model\.width must be 1 or more"),
    ],
)
def test_mistakes_are_told_in_a_sentence(target: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        built(target, **options)
