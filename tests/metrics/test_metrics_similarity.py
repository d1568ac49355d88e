"""Similarity in a federation: relations, sketches, missing layers, and a run of it."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fedlayers
from fedlayers.core.records import Pair, Record, Row
from metrics.base import ClientView, Measurement, ServerView
from metrics.compare.base import Compared, Comparison, Pairs
from metrics.compare.measures.cka import CKA
from metrics.similarity import Similarity
from tests.support.metric_views import client_view, network, server_view, some_rows, with_sent

pytestmark = pytest.mark.usefixtures("device")

PROBE = some_rows(60, seed=5)


def view_of(module: nn.Module) -> ClientView:
    view = client_view(module, {})
    view.probe = PROBE
    return view


def similarity(**arguments: Any) -> Similarity:
    return Similarity({"cka": CKA()}, **arguments)


def server(sent: Mapping[int, Measurement], **changes: Any) -> ServerView:
    view = server_view(network(), {}, dict.fromkeys(sent, 1))
    views = {name: lambda seed=seed: view_of(network(seed)) for name, seed in (("received", 8), ("aggregated", 9))}
    return with_sent(replace(view, **{"global_views": views, **changes}), sent)


def sent_by(metric: Similarity, *seeds: int) -> dict[int, Measurement]:
    return {client: metric.client(view_of(network(seed))) for client, seed in enumerate(seeds)}


def pairs_of(rows: list[Row], subject: str, metric: str = "cka") -> dict[tuple[Any, ...], Pair]:
    found = [row for row in rows if isinstance(row, Pair) and (row.subject, row.metric) == (subject, metric)]
    return {(row.client, row.other, row.layer, row.other_layer, row.other_round): row for row in found}


def outputs(seed: int) -> Tensor:
    first: Tensor = network(seed).cpu().get_submodule("0")(PROBE.features)
    return first.detach()


def test_every_relation_compares_what_it_says() -> None:
    metric = similarity()
    now = sent_by(metric, 1, 2, 3)
    earlier = {3: metric.server(server(now, round=3)).kept}
    view = server(now, round=7, earlier=lambda: earlier)
    rows = metric.server(view).rows
    layers = ("0", "2", "3")
    assert set(pairs_of(rows, "clients")) == {(a, b, x, x, 7) for a, b in ((0, 1), (0, 2), (1, 2)) for x in layers}
    assert set(pairs_of(rows, "layers")) == {
        (k, k, x, y, 7) for k in range(3) for x, y in itertools.combinations(layers, 2)
    }
    assert set(pairs_of(rows, "rounds")) == {(k, k, x, x, 3) for k in range(3) for x in layers}
    for relation, seed in (("received", 8), ("aggregated", 9)):
        found = pairs_of(rows, relation)
        assert set(found) == {(k, None, x, x, 7) for k in range(3) for x in layers}
        expected = CKA().compare([outputs(1), outputs(seed)], [(0, 1)], 0, 0)[0].value[0]
        assert found[0, None, "0", "0", 7].value == pytest.approx(expected, rel=1e-5)
    assert all(row.value == pytest.approx(1, abs=1e-9) for row in pairs_of(rows, "rounds").values())
    first = pairs_of(rows, "clients")[0, 1, "0", "0", 7]
    assert (first.variant, first.scope, first.n, first.owner) == ("debiased, pooled", "probe", 60, "client")
    assert first.chance == 0 and first.chance_hi is not None and first.p is not None and first.stderr is not None


def test_only_the_relations_asked_for_are_compared_and_kept() -> None:
    metric = similarity(relations=["clients"])
    found = metric.server(server(sent_by(metric, 1, 2)))
    assert {row.subject for row in found.rows if isinstance(row, Pair)} == {"clients"}
    assert found.kept == {}
    kept = similarity().server(server(sent_by(metric, 1, 2))).kept
    assert sorted(kept) == sorted(
        f"{k}/{name}" for k in (0, 1) for name in ("examples", "layer/0", "layer/2", "layer/3")
    )


def test_equal_clients_are_alike_and_the_order_of_clients_is_nothing() -> None:
    metric = similarity()
    same = pairs_of(metric.server(server(sent_by(metric, 1, 1))).rows, "clients", "cka_distance")
    assert all(row.value < 1e-6 for row in same.values())
    sent = sent_by(metric, 1, 2, 3)
    forward = metric.server(server(sent)).rows
    assert metric.server(server(dict(reversed(sent.items())))).rows == forward


def test_an_algorithm_without_a_global_model_has_no_such_rows() -> None:
    metric = similarity()
    rows = metric.server(server(sent_by(metric, 1, 2), global_views={})).rows
    assert {row.subject for row in rows if isinstance(row, Pair)} == {"clients", "layers"}


@pytest.mark.parametrize("send", ["sketch", "auto"])
def test_sketches_are_sent_when_asked_for_or_when_the_limit_is_near(send: str) -> None:
    metric, exact = similarity(send=send, sketch_numbers=4096), similarity()
    sent = {}
    for client, seed in enumerate((1, 2)):
        view = view_of(network(seed))
        view.payload_limit_bytes = 2**16 + 60 * 8 * 4 + 60 * 4 * 4 if send == "auto" else 2**26
        sent[client] = metric.client(view)
    kept = metric.server(server(sent)).kept
    dimensions = {name: kept[f"0/layer/{name}"].ndim for name in ("0", "2", "3")}
    # The smallest layers stay whole, and nothing whole travels for the others.
    assert dimensions == ({"0": 2, "2": 1, "3": 2} if send == "auto" else dict.fromkeys("023", 1))
    assert sent[0].payload.keys() == {"examples", *(f"layer/{name}" for name, many in dimensions.items() if many == 1)}
    assert bool(sent[0].shared) == (send == "auto")
    found = pairs_of(metric.server(server(sent)).rows, "clients")
    expected = pairs_of(exact.server(server(sent_by(exact, 1, 2))).rows, "clients")
    for key, row in found.items():
        assert row.value == pytest.approx(expected[key].value, abs=0.06)
        assert row.status == "ok" and row.variant is not None
        assert ("sketch of 4096" in row.variant) == (dimensions[key[2]] == 1)
    across = pairs_of(metric.server(server(sent)).rows, "layers")
    assert len(across) == 6 and all(row.status == "ok" for row in across.values())


class Whole(Comparison):
    """Needs activations, and fails for the pair whose first has a negative sum."""

    facts = CKA.facts[:1]

    def compare(
        self, representations: Sequence[Tensor], pairs: Pairs, permutations: int, seed: int
    ) -> Sequence[Compared]:
        return [Compared("cka", "", np.full(len(pairs), math.nan), reasons={0: "no luck"})]


def test_a_measure_that_needs_activations_says_so() -> None:
    metric = Similarity({"whole": Whole()}, send="sketch", relations=["clients"])
    rows = metric.server(server(sent_by(metric, 1, 2))).rows
    assert {row.reason for row in rows if isinstance(row, Pair)} == {
        "needs whole activations, sketches were sent; lower probe.size or raise metrics.payload_mb"
    }


def test_a_pair_that_fails_is_missing_with_its_reason() -> None:
    metric = Similarity({"whole": Whole()}, relations=["clients"])
    rows = [row for row in metric.server(server(sent_by(metric, 1, 2))).rows if isinstance(row, Pair)]
    assert [row.reason for row in rows] == ["no luck", "the value is not finite", "the value is not finite"]
    assert all(row.status == "missing" and math.isnan(row.value) and row.p is None for row in rows)


def test_a_layer_without_output_is_missing_and_the_others_go_on() -> None:
    broken = network(1)
    broken.get_parameter("0.bias").data.fill_(torch.nan)
    metric = similarity()
    found: Measurement = metric.client(view_of(broken))
    reasons = {(row.metric, row.layer): row.reason for row in found.rows if isinstance(row, Record)}
    assert reasons["cka", "0"] == "its output is not finite"
    rows = metric.server(server({0: found, 1: metric.client(view_of(network(2)))})).rows
    assert pairs_of(rows, "clients") == {}


def test_a_small_probe_is_remarked() -> None:
    view = view_of(network())
    view.probe = some_rows(20)
    assert "the probe has 20 examples" in similarity().remarks(view)[0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"measures": {}}, "measures must name one comparison or more; choose with similarity="),
        ({"measures": {"cka": 3}}, "similarity.cka must be a metrics.compare.base.Comparison, got 3"),
        (
            {"relations": ["models"]},
            "relations must be some of clients, layers, rounds, received, aggregated, got 'mod",
        ),
        ({"send": "gram"}, "send must be one of auto, activations, sketch, got 'gram'"),
        ({"permutations": -1}, "permutations must be 0 or more, got -1"),
        ({"sketch_numbers": 4}, "sketch_numbers must be 16 or more, got 4"),
        ({"positions": "all"}, "positions must be one of"),
    ],
)
def test_mistakes_are_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Similarity(**{"measures": {"cka": CKA()}, **arguments})


def test_a_run_compares_rounds_and_leaves_pairs(quick_run: Callable[..., Path]) -> None:
    run = quick_run("metrics=[similarity]", "similarity=[cka]", "rounds=3", "metrics.similarity.rounds=[all]")
    pairs = fedlayers.read(run).pairs
    assert set(pairs["subject"]) == {"clients", "layers", "rounds", "received", "aggregated"}
    assert (pairs["status"] == "ok").all() and set(pairs["model"]) == {"personal"}
    rounds = pairs[(pairs["subject"] == "rounds") & (pairs["round"] == 3)]
    assert set(rounds["other_round"]) == {1, 2}


def test_a_continued_run_finds_what_earlier_rounds_kept(
    quick_run: Callable[..., Path], tables: Callable[[Path], dict[str, bytes]], tmp_path: Path
) -> None:
    words = ["metrics=[similarity]", "similarity=[cka]", "metrics.similarity.rounds=[all]"]
    quick_run(*words, "rounds=2", folder=tmp_path)
    continued, straight = quick_run(*words, "rounds=4", folder=tmp_path), quick_run(*words, "rounds=4")
    assert tables(continued) == tables(straight)
