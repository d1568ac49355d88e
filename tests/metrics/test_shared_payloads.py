"""Payloads that several metrics share: one object a view, sent once, there for all of their server halves."""

from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from clients.measuring import Measured
from fedlayers.core.records import Pair, Record
from fedlayers.flower.contents import PAYLOADS, SHARED, packed_payloads, unpacked_payloads
from metrics.base import ClientView, Facts, Measurement, Metric, ServerView
from metrics.client_clusters import ClientClusters
from metrics.client_distances import Distances
from metrics.compare.measures.cka import CKA
from metrics.measure import measure_clients, measure_server
from metrics.probe import payload
from metrics.similarity import Similarity
from tests.support.metric_views import client_view, network, server_view, some_rows

pytestmark = pytest.mark.usefixtures("device")

PROBE = 500
# The 8, 8 and 4 units of the layers, as float32.
OUTPUT_BYTES = PROBE * (8 + 8 + 4) * 4


def view_of(seed: int) -> ClientView:
    return replace(client_view(network(seed), {}), probe=some_rows(PROBE, seed=5))


def measures(**similarity: Any) -> dict[str, Metric]:
    return {
        "similarity": Similarity({"cka": CKA()}, relations=["clients"], **similarity),
        "distances": Distances(["cka_distance", "procrustes_distance"], relations=["clients"]),
        "clusters": ClientClusters("rsa_distance", resamples=2),
    }


def reply_bytes(metrics: dict[str, Metric]) -> dict[str, int]:
    rows, sent = measure_clients(metrics, view_of(1), 1, "raise")
    return {name: len(data) for name, data in Measured([(rows, {})], sent, "global").packed().items()}


def test_a_reply_holds_representations_once_whoever_compares_them() -> None:
    metrics = measures()
    every = reply_bytes(metrics)
    assert OUTPUT_BYTES < every[SHARED] < 1.05 * OUTPUT_BYTES and PAYLOADS not in every
    assert {reply_bytes({name: metric})[SHARED] for name, metric in metrics.items()} == {every[SHARED]}


def test_sketches_travel_alone_where_nobody_wants_the_whole() -> None:
    metrics = measures(send="sketch", sketch_numbers=64)
    assert SHARED not in (alone := reply_bytes({"similarity": metrics["similarity"]}))
    every = reply_bytes(metrics)
    assert every[PAYLOADS] == alone[PAYLOADS] < 0.1 * OUTPUT_BYTES < every[SHARED]


def test_the_server_unpacks_them_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, counting = measures(), Mock(side_effect=payload.unpacked)
    monkeypatch.setattr(payload, "unpacked", counting)
    sent = {client: measure_clients(metrics, view_of(client), 1, "raise")[1] for client in range(3)}
    (name,) = sent[0].shared
    travelled = {client: unpacked_payloads(packed_payloads(one.shared))[name] for client, one in sent.items()}
    view = server_view(network(), {}, dict.fromkeys(sent, 1))
    rows, _ = measure_server(metrics, replace(view, shared={name: travelled}), {}, 1, "raise")
    pairs = [row for row in rows if isinstance(row, Pair)]
    assert {row.metric for row in pairs} >= {"cka", "cluster_distance"} and {row.status for row in pairs} == {"ok"}
    assert counting.call_count == 3


def test_names_may_hold_anything() -> None:
    payloads: dict[str, dict[str, np.ndarray]] = {"a/b c": {"x/y": np.arange(3)}, "a": {"b c": np.ones(2)}}
    assert {
        name: {key: array.tolist() for key, array in found.items()}
        for name, found in unpacked_payloads(packed_payloads(payloads)).items()
    } == {"a/b c": {"x/y": [0, 1, 2]}, "a": {"b c": [1, 1]}}


class Sharing(Metric):
    """Shares two numbers under a name, made once a view or every time anew."""

    facts = (Facts("sharing", "1", 0.0, 1.0, "neutral", "own definition"),)

    def __init__(self, anew: bool) -> None:
        super().__init__()
        self.anew = anew

    def client(self, view: ClientView) -> Measurement:
        own = {"x": np.zeros(2)}
        return Measurement(shared={"mine": own if self.anew else view.cache.setdefault("mine", own)})

    def server(self, view: ServerView) -> Measurement:
        return Measurement([Record("sharing", float(sent["x"][0])) for sent in view.shared["mine"].values()])


def test_what_is_shared_is_one_object_and_counts_towards_the_limit_of_each() -> None:
    rows, sent = measure_clients({"one": Sharing(False), "two": Sharing(False)}, view_of(0), 1)
    assert list(sent.shared) == ["mine"] and not [row for row in rows if isinstance(row, Record)]
    with pytest.raises(ValueError, match=r"^shared payload 'mine' must be the object that another metric sent .* own$"):
        measure_clients({"one": Sharing(False), "two": Sharing(True)}, view_of(0), 1, "raise")
    with pytest.raises(ValueError, match=r"^payload must be 15 bytes or less, got 16; raise metrics.payload_mb$"):
        measure_clients({"one": Sharing(False)}, replace(view_of(0), payload_limit_bytes=15), 1, "raise")
