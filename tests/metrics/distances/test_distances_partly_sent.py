"""Layers that some clients sent: their distances are those clients', and the others' are missing with the reason."""

from dataclasses import replace
from unittest.mock import Mock

import pytest

from fedlayers.core.plans.plan import FederationPlan
from fedlayers.core.records import Pair, Record
from metrics.base import ServerView
from metrics.client_distances import Distances
from metrics.distances.families import LayerMetric, ModelMetric
from metrics.distances.partly_sent import alone
from metrics.distances.steps.align import AlignStep
from metrics.distances.steps.elementary import NoBiasStep
from tests.support.metric_views import network, server_view, weights_of

NAMES = ["l2_dst", "nb-cosine_dst", "mean-l2_dst"]


def view(away: dict[int, str]) -> ServerView:
    """Return a round of three clients, of whom some keep a layer."""
    every = {client: weights_of(network(client + 1)) for client in range(3)}
    sent = {
        client: {name: own[name] for name in own if not name.startswith(f"{away.get(client)}.")}
        for client, own in every.items()
    }
    found = server_view(network(), sent, {0: 10, 1: 20, 2: 30}, after=weights_of(network(9)))
    plans = {
        client: FederationPlan.sharing([x for x in found.layers if x.name != away.get(client)], found.layers, "drawn")
        for client in every
    }
    return replace(found, plans=plans)


def distances(found: ServerView, layer: str) -> dict[tuple[object, ...], float]:
    rows = Distances(NAMES).server(found).rows
    pairs = [row for row in rows if isinstance(row, Pair) and row.layer == layer and row.status == "ok"]
    return {(row.metric, row.variant, row.subject, row.client, row.other): row.value for row in pairs}


@pytest.mark.parametrize("away", [{2: "0"}, {1: "0", 2: "0"}])
def test_they_are_as_if_only_those_were_there_who_sent_the_layer(away: dict[int, str]) -> None:
    partly, whole = distances(view(away), "0"), distances(view({}), "0")
    mine = {place: value for place, value in whole.items() if not {place[3], place[4]} & set(away)}
    assert partly == mine and mine
    assert any(place[2] == "clients" for place in mine) == (len(away) == 1)
    # The others are compared as ever.
    assert distances(view(away), "3") == distances(view({}), "3")


def test_who_kept_it_is_said() -> None:
    rows = Distances(NAMES).server(view({2: "0"})).rows
    told = {row.reason for row in rows if isinstance(row, Record) and row.layer == "0" and row.status == "missing"}
    assert told == {"the federation plan of this round leaves 0 with clients 2"}
    assert not any(isinstance(row, Pair) and row.layer == "0" and 2 in (row.client, row.other) for row in rows)


def test_units_are_not_aligned_by_one_layer_alone() -> None:
    plain, aligned = (Mock(spec=LayerMetric, preprocessing_steps=steps) for steps in ([NoBiasStep()], [AlignStep()]))
    assert alone({"plain": plain, "aligned": aligned, "whole": Mock(spec=ModelMetric)}) == ["plain"]


def test_a_layer_that_nobody_sent_has_none() -> None:
    assert distances(view(dict.fromkeys(range(3), "0")), "0") == {}
