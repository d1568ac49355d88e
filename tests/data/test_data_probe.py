"""The probe's examples: where they come from, that they never change, and what is refused."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from fedlayers.config.compose import compose_config
from fedlayers.config.schema.settings import Config, Probe
from fedlayers.core.errors import UserError
from fedlayers.core.federation import Examples, Federation
from fedlayers.data import load_federation
from fedlayers.data.probe import most_examples, probe_examples
from fedlayers.measuring.build import build_metrics
from fedlayers.measuring.probe import affordable_examples, probe_for
from fedlayers.models.resnet18 import ResNet18


@pytest.fixture(scope="module")
def config() -> Config:
    return compose_config(["dataset=digits", "clients=4"])


@pytest.fixture(scope="module")
def federation(config: Config) -> Federation:
    return load_federation(config)


def positions(examples: Examples) -> set[int]:
    return set(examples.index.tolist())


def test_the_servers_probe_is_drawn_from_its_test_set(federation: Federation) -> None:
    probe = probe_examples(Probe(size=50), federation, seed=0)
    assert len(probe) == len(positions(probe)) == 50
    assert positions(probe) <= positions(federation.server_test)
    assert torch.equal(probe.index, probe_examples(Probe(size=50), federation, seed=0).index)
    assert not torch.equal(probe.index, probe_examples(Probe(size=50), federation, seed=1).index)


def test_fewer_examples_than_asked_are_all_of_them(federation: Federation) -> None:
    assert positions(probe_examples(Probe(size=10**6), federation, 0)) == positions(federation.server_test)


@pytest.mark.parametrize("policy", ["server", "pooled"])
def test_the_most_examples_are_those_of_a_probe_without_end(policy: str, federation: Federation) -> None:
    probe = Probe(policy, 10**6)
    assert most_examples(probe, federation) == len(probe_examples(probe, federation, 0))
    assert most_examples(Probe("synthetic"), federation) is None


def test_a_pooled_probe_takes_as_many_of_every_client(federation: Federation) -> None:
    probe = probe_examples(Probe("pooled", 42), federation, seed=0)
    shares = [len(positions(probe) & positions(examples)) for examples in federation.splits["client_train"]]
    assert shares == [10, 10, 10, 10]
    assert len(probe) == 40


def test_a_pooled_probe_is_no_larger_than_asked_where_there_are_more_clients() -> None:
    federation = load_federation(compose_config(["dataset=digits", "partition=iid", "clients=300"]))
    probe = probe_examples(Probe("pooled", 20), federation, seed=0)
    shares = [len(positions(probe) & positions(examples)) for examples in federation.splits["client_train"]]
    assert len(probe) == 20 and sorted(shares) == [0] * 280 + [1] * 20
    assert shares != sorted(shares, reverse=True)


def test_a_synthetic_probe_is_standard_normal_and_has_no_labels(federation: Federation) -> None:
    probe = probe_examples(Probe("synthetic", 2000), federation, seed=0)
    features, labels = probe.batch(torch.arange(2000))
    assert features.shape == (2000, *federation.shape)
    assert float(features.mean()) == pytest.approx(0, abs=0.01)
    assert float(features.std()) == pytest.approx(1, abs=0.01)
    assert set(labels.tolist()) == {-1}


def test_too_few_examples_are_refused(federation: Federation) -> None:
    none = replace(federation.server_test, index=federation.server_test.index[:3])
    with pytest.raises(UserError, match=r"probe.policy=server needs 4 or more examples, got 3; raise split.server"):
        probe_examples(Probe(), replace(federation, server_test=none), seed=0)


def test_only_runs_whose_metrics_ask_for_one_have_one(config: Config, federation: Federation) -> None:
    module = nn.Flatten()
    assert probe_for(build_metrics({}), config, federation, module) is None
    asks = build_metrics(compose_config(["metrics=[similarity]"]).metrics)
    assert len(probe_for(asks, config, federation, module) or ()) == len(federation.server_test)


def test_large_networks_have_a_smaller_probe_unless_a_size_is_given(config: Config, federation: Federation) -> None:
    wide = nn.Conv2d(3, 64, 3)
    multiplications = 64 * 27 * 400 * 400
    assert affordable_examples(wide, torch.zeros(2, 3, 402, 402)) == 2**37 // (2 * multiplications) == 248
    assert affordable_examples(wide, torch.zeros(2, 3, 66, 66)) == 1000
    assert affordable_examples(nn.Flatten(), torch.zeros(2, 3, 8, 8)) == 1000
    resnet = ResNet18((3, 32, 32), 10).eval()
    assert affordable_examples(resnet, torch.zeros(2, 3, 32, 32)) == 128
    # Fused kernels of attention are counted as the products that they are.
    attention = nn.TransformerEncoderLayer(64, 1, 64, batch_first=True).eval()
    places, width = 1024, 64
    each = 2 * (4 * places * width**2 + 2 * places**2 * width + 2 * places * 64 * width)
    assert affordable_examples(attention, torch.zeros(1, places, width)) == 2**37 // each < 1000
    asks = build_metrics(compose_config(["metrics=[similarity]"]).metrics)
    given = replace(config, probe=Probe(size=40))
    assert len(probe_for(asks, given, federation, wide) or ()) == 40  # no pass through the model


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("probe.size=3", "probe.size must be 4 or more, or null for a thousand, fewer for large networks, got 3"),
        ("probe.policy=public", "probe.policy must be one of server, pooled, synthetic, got 'public'"),
    ],
)
def test_mistakes_are_one_sentence(word: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        compose_config([word])
