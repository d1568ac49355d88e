"""A strategy that compares layers takes weights for those of the run's model."""

import pytest
from torch import nn

from fedlayers.config.compose import compose_config
from fedlayers.core.layers import layers_of
from fedlayers.execution.build import build
from strategies.client_distances import symmetric_distances
from strategies.clustered import Clustered


def test_a_run_tells_it_the_layers() -> None:
    built = build(compose_config(["algorithm=clustered", "model=resnet18_gn", "clients=4", "partition=iid"]))
    assert isinstance(built.strategy, Clustered)
    weights = {name: tensor.detach().cpu().numpy() for name, tensor in built.module.named_parameters()}
    model = built.strategy.as_model(weights)
    assert [layer.name for layer in model] == [layer.name for layer in built.layers]
    roles = {array.role for layer in model for array in layer.arrays}
    assert roles == {"weight", "bias", "norm_weight", "norm_bias"}


def test_transposed_convolutions_come_out_right() -> None:
    module = nn.ConvTranspose2d(2, 3, 1, bias=False)
    weights = {name: tensor.detach().double().numpy() for name, tensor in module.named_parameters()}
    # The three output units are in another order: to the eye of Procrustes the same layer.
    other = {"weight": weights["weight"][:, [2, 0, 1]]}
    strategy = Clustered(distance="procrustes_dst", of="weights")
    named = [weights, other]

    def distance() -> float:
        return float(symmetric_distances(strategy.distance, named, named, strategy.as_model)[0, 1])

    before = distance()
    strategy.know_layers(layers_of(module))
    assert distance() == pytest.approx(0, abs=1e-6) and before > 0.01
