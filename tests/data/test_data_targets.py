"""Labels without their features, whatever kind of examples it is."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fedlayers.core.federation import Examples
from fedlayers.core.planted import Planted
from metrics.class_performance.federated import training_counts
from tests.support.metric_views import client_view, network

COUNT, CLASSES = 30, 4


def examples(features: Tensor, labels: Tensor) -> Examples:
    index = torch.randperm(COUNT, generator=torch.Generator().manual_seed(1))[:20]
    return Examples(features, labels, index, torch.tensor(0.5), torch.tensor(1.0))


def kinds() -> dict[str, Examples]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (COUNT,), generator=generator)
    sets = torch.randint(2, (COUNT, CLASSES), generator=generator)
    tokens = torch.randint(9, (COUNT, 5), generator=generator)
    images = torch.randint(256, (COUNT, 1, 2, 2), generator=generator, dtype=torch.uint8)
    groups = torch.randint(2, (20,), generator=generator)
    relabel = torch.stack([torch.arange(CLASSES), torch.arange(CLASSES).flip(0)])
    return {
        "classes": examples(images, labels),
        "label sets": examples(images, sets),
        "tokens": examples(tokens, labels),
        "planted": replace(examples(images, labels), planted=Planted(groups, torch.tensor([0, 1]), relabel)),
        "planted label sets": replace(examples(images, sets), planted=Planted(groups, torch.tensor([0, 1]), relabel)),
    }


@pytest.mark.parametrize("kind", list(kinds()))
def test_labels_are_those_of_the_batches_without_a_look_at_features(kind: str) -> None:
    own = kinds()[kind]
    expected = own.batch(torch.arange(20))[1]
    some = torch.tensor([7, 0, 7, 19])
    # A tensor of this device has a shape and no numbers that could be read.
    unread = replace(own, features=own.features.to("meta"))
    assert torch.equal(unread.targets(), expected)
    assert torch.equal(unread.targets(some), expected[some])
    assert torch.equal(unread.targets(torch.arange(0)), expected[:0])


@pytest.mark.parametrize("kind", ["classes", "label sets", "planted"])
def test_training_counts_need_labels_only(kind: str) -> None:
    own = kinds()[kind]
    labels = own.batch(torch.arange(20))[1]
    view = client_view(network(), {"client_train": replace(own, features=own.features.to("meta"))})
    counts = training_counts(view)
    expected = labels.sum(0) if labels.dim() > 1 else torch.stack([(labels == c).sum() for c in range(CLASSES)])
    assert counts is not None and counts.tolist() == expected.tolist()
    assert training_counts(client_view(network(), {})) is None
