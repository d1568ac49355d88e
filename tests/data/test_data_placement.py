"""Where a federation's arrays lie: on a card if half of it stays free."""

from types import SimpleNamespace

import pytest
import torch

from fedlayers.core.federation import ClientExamples, Examples
from fedlayers.data import Federation, load_federation
from fedlayers.data.placement import placed
from tests.support.data_configs import config

# A device that holds no numbers is enough to see what lies where.
CARD = torch.device("meta")


@pytest.fixture
def federation() -> Federation:
    return load_federation(config("digits", clients=3))


def size_of(federation: Federation) -> int:
    return federation.server_test.features.nbytes + federation.server_test.labels.nbytes


def with_memory(monkeypatch: pytest.MonkeyPatch, free: int, total: int) -> None:
    monkeypatch.setattr(torch, "get_device_module", lambda _: SimpleNamespace(mem_get_info=lambda _: (free, total)))


def test_a_card_that_keeps_half_free_holds_arrays_as_they_are_stored_once_for_all(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = size_of(federation)
    with_memory(monkeypatch, 2 * size, 2 * size)
    there = placed(federation, CARD)
    parts: list[Examples | ClientExamples] = [*there.splits.values(), there.server_test, there.pooled_train]
    assert len({id(part.features) for part in parts}) == len({id(part.labels) for part in parts}) == 1
    assert there.server_test.features.device == there.server_test.scale.device == CARD
    assert there.server_test.features.dtype == federation.server_test.features.dtype
    client = there.of(1)["client_train"]
    assert client.features.device == client.scale.device == CARD and client.index.device.type == "cpu"
    features, labels = client.batch(torch.tensor([0, 2]))
    assert features.device == labels.device == CARD and features.shape == (2, *federation.shape)


def test_arrays_stay_mapped_for_a_cpu_and_where_they_would_crowd_a_card(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert placed(federation, torch.device("cpu")) is federation
    size = size_of(federation)
    with_memory(monkeypatch, 2 * size - 1, 2 * size)
    assert placed(federation, CARD) is federation
