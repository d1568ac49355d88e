"""Pairs that are compared together: every pair once, and few products that nobody asked for."""

from itertools import combinations

import numpy as np
import pytest
import torch

from metrics.compare.measures.cka import CKA
from metrics.compare.products import pair_groups as module
from metrics.compare.products.pair_groups import pair_groups

CLIENTS, LAYERS = 6, 8
MINE = [(client, layer) for client in range(CLIENTS) for layer in range(LAYERS)]
OTHERS = [(owner, layer) for owner in ("received", "aggregated") for layer in range(LAYERS)]
EARLIER = [(f"earlier {client}", layer) for client, layer in MINE]
PLACE = {item: place for place, item in enumerate([*MINE, *OTHERS, *EARLIER])}


def federation_pairs() -> list[tuple[int, int]]:
    """Return the pairs of a run: between clients, between layers, with global models and with an earlier round."""
    pairs = [(PLACE[a], PLACE[b]) for a, b in combinations(MINE, 2) if a[1] == b[1]]
    pairs += [(PLACE[a], PLACE[b]) for a, b in combinations(MINE, 2) if a[0] == b[0]]
    pairs += [(PLACE[a], PLACE[b]) for a in MINE for b in OTHERS if a[1] == b[1]]
    return pairs + [(PLACE[item], PLACE[f"earlier {item[0]}", item[1]]) for item in MINE]


def test_clients_and_layers_are_compared_along_both(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = federation_pairs()
    assert pair_groups(pairs, rows=10) == [list(range(len(pairs)))]
    monkeypatch.setattr(module, "_TOGETHER", 0)
    groups = pair_groups(pairs, rows=10)
    assert sorted(place for group in groups for place in group) == list(range(len(pairs)))
    assert len(groups) == LAYERS + CLIENTS
    sizes = sorted(len({item for place in group for item in pairs[place]}) for group in groups)
    assert sizes == [LAYERS] * CLIENTS + [2 * CLIENTS + 2] * LAYERS


def test_pairs_without_a_third_are_together_where_they_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TOGETHER", 0)
    assert pair_groups([(0, 9), (1, 9), (2, 8)], rows=10) == [[0, 1], [2]]
    assert pair_groups([(0, 1), (1, 0), (0, 1)], rows=10) == [[0, 1, 2]]


@pytest.mark.parametrize("estimator", ["debiased", "biased"])
def test_values_do_not_depend_on_the_groups(estimator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    representations = [torch.randn(24, 3 + place % 5, generator=generator) for place in range(len(PLACE))]
    representations[3] = torch.ones(24, 4)
    pairs = federation_pairs()
    together = CKA(estimator).compare(representations, pairs, 3, 0)
    monkeypatch.setattr(module, "_TOGETHER", 0)
    apart = CKA(estimator).compare(representations, pairs, 3, 0)
    for one, other in zip(together, apart, strict=True):
        assert one.reasons == other.reasons and len(one.reasons) == sum(3 in pair for pair in pairs)
        for name in ("value", "stderr", "chance", "chance_hi", "p"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=2e-4, atol=1e-6)
    value = CKA(estimator).values(representations, pairs).value
    np.testing.assert_array_equal(value, apart[0].value)
