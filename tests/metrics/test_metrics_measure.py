"""Building metrics from their YAML, running those that are due, and turning failures into missing values."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedlayers.config.compose import compose_config
from fedlayers.core.errors import UserError
from fedlayers.core.records import Record, Resource
from fedlayers.measuring.build import build_metrics
from metrics.base import ClientView, Facts, Measurement, Metric, ServerView
from metrics.measure import Sent, measure_clients, measure_server
from tests.support.metric_views import assert_in_range, client_view, network, server_view, some_rows, weights_of

pytestmark = pytest.mark.usefixtures("device")

FOLDER = Path(__file__).parents[2] / "conf" / "metrics"
# The network here has no attention; tests/metrics/tracking has one.
OPTIONS = sorted(path for path in FOLDER.glob("*.yaml") if path.stem != "attention")


class Echo(Metric):
    """Sends its seed and gives back what came."""

    facts = (Facts("echo", "1", -math.inf, math.inf, "neutral", "own definition"),)

    def client(self, view: ClientView) -> Measurement:
        return Measurement([Record("echo", 1.0)], {"seed": np.array([view.seed])})

    def server(self, view: ServerView) -> Measurement:
        return Measurement(
            [Record("echo", float(payload["seed"][0]), client=k) for k, payload in view.payloads.items()]
        )


class Broken(Metric):
    """Fails on both sides, in two lines."""

    def client(self, view: ClientView) -> Measurement:
        raise ZeroDivisionError("nothing\nto divide")

    def server(self, view: ServerView) -> Measurement:
        raise KeyError("gone")


def view_() -> ClientView:
    data = {f"client_{split}": some_rows(n, seed=n) for split, n in (("train", 30), ("val", 8), ("test", 9))}
    return replace(client_view(network(), data, reference=network(1)), probe=some_rows(40, seed=9))


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: path.stem)
def test_every_option_builds_measures_and_states_its_facts(path: Path) -> None:
    metric = build_metrics(compose_config([f"metrics=[{path.stem}]"]).metrics)[path.stem]
    rng = torch.get_rng_state()
    for moment in metric.schedule.moments:
        view = view_()
        view.moment = moment
        rows, found = measure_clients({path.stem: metric}, view, 1, "raise")
        if metric.measures_models:
            assert_in_range(metric, rows)
        trained = {k: weights_of(network(k + 1)) for k in range(3)} if moment == "after_local" else {}
        server = server_view(network(), trained, {0: 30, 1: 30, 2: 30}, moment=moment)
        own, server.shared = (
            {name: dict.fromkeys(range(3), payload) for name, payload in payloads.items()}
            for payloads in (found.own, found.shared)
        )
        compared, _ = measure_server({path.stem: metric}, server, own, 1, "raise")
        if compared:
            assert_in_range(metric, compared)
    assert torch.equal(rng, torch.get_rng_state())
    names = [fact.name for fact in metric.facts]
    assert len(set(names)) == len(names)
    assert all(fact.reference and fact.direction in ("higher", "lower", "neutral") for fact in metric.facts)
    assert all(fact.cost in ("cheap", "pass", "heavy") for fact in metric.facts)


def test_options_work_together() -> None:
    names = ",".join(path.stem for path in OPTIONS)
    metrics = build_metrics(compose_config([f"metrics=[{names}]", "metrics.on_error=raise"]).metrics)
    assert list(metrics) == sorted(path.stem for path in OPTIONS)
    rows, _ = measure_clients(metrics, view_(), 1, "raise")
    times = [row.metric for row in rows if isinstance(row, Resource)]
    models = {name: metric for name, metric in metrics.items() if metric.measures_models}
    due = [name for name, metric in models.items() if "after_local" in metric.schedule.moments]
    assert times == [f"measure_{name}" for name in due] and len(due) > 10


def test_payloads_travel_from_clients_to_the_server() -> None:
    metrics = {"echo": Echo(rounds=["all"])}
    payloads: dict[int, Mapping[str, np.ndarray]] = {}
    for client in (0, 1):
        view = view_()
        view.seed = client + 40
        payloads[client] = measure_clients(metrics, view, 3)[1].own["echo"]
    server = server_view(network(), {}, {0: 1, 1: 1})
    rows, _ = measure_server(metrics, server, {"echo": payloads}, 3)
    values = {row.client: row.value for row in rows if isinstance(row, Record)}
    assert values == {0: 40.0, 1: 41.0}
    assert all(row.owner == "server" for row in rows)


def test_a_failing_metric_is_one_missing_value_and_the_others_go_on() -> None:
    metrics: dict[str, Metric] = {"broken": Broken(), "echo": Echo()}
    rows, sent = measure_clients(metrics, view_(), 1)
    failed = [row for row in rows if isinstance(row, Record) and row.status == "missing"]
    assert [(row.metric, row.reason) for row in failed] == [("broken", "ZeroDivisionError: nothing to divide")]
    assert list(sent.own) == ["echo"]
    server = server_view(network(), {}, {0: 1})
    compared, _ = measure_server(metrics, server, {"echo": {0: sent.own["echo"]}}, 1)
    assert [row.reason for row in compared if isinstance(row, Record)] == ["KeyError: 'gone'", None]


def test_on_error_raise_lets_it_through() -> None:
    with pytest.raises(ZeroDivisionError):
        measure_clients({"broken": Broken()}, view_(), 1, "raise")
    with pytest.raises(KeyError):
        measure_server({"broken": Broken()}, server_view(network(), {}, {0: 1}), {}, 1, "raise")


def test_only_what_is_due_runs() -> None:
    metrics: dict[str, Metric] = {"echo": Echo(rounds=[2]), "broken": Broken(moments=["final"])}
    assert measure_clients(metrics, view_(), 5) == ([], Sent())
    assert measure_server(metrics, server_view(network(), {}, {0: 1}), {}, 5) == ([], {})


def test_a_payload_above_the_limit_is_not_sent() -> None:
    view = view_()
    view.payload_limit_bytes = 4
    rows, sent = measure_clients({"echo": Echo()}, view, 1)
    assert sent == Sent()
    reasons = [row.reason for row in rows if isinstance(row, Record)]
    assert reasons == ["ValueError: payload must be 4 bytes or less, got 8; raise metrics.payload_mb"]


EVALUATION = {"_target_": "metrics.evaluation.Evaluation"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"on_error": "ignore"}, "metrics.on_error must be record or raise, got 'ignore'"),
        ({"payload_mb": 0}, "metrics.payload_mb must be a positive number of megabytes, got 0"),
        ({"payload_mb": True}, "metrics.payload_mb must be a positive number of megabytes, got True"),
        (
            {"mine": 3},
            "metrics.mine must be a class with its arguments, got 3; name the class by metrics.mine._target_=",
        ),
        ({"mine": {"splits": []}}, "metrics.mine._target_ is missing: give the class"),
        ({"mine": {"_target_": "nowhere.Thing"}}, "metrics.mine._target_=nowhere.Thing: there is no module nowhere"),
        ({"mine": {"_target_": "metrics.evaluation.Missing"}}, "metrics.evaluation has no class or function Missing"),
        ({"mine": {"_target_": "builtins.dict"}}, "metrics.mine._target_ must be a subclass of metrics.base.Metric"),
        ({"evaluation": {**EVALUATION, "extra": 1}}, "metrics.evaluation.extra: Evaluation has no argument 'extra'"),
        (
            {"evaluation": {**EVALUATION, "splits": ["x"]}},
            r"^metrics\.evaluation\.splits must be some of train, val, test, got 'x'$",
        ),
        ({"mine": {**EVALUATION, "rounds": ["x"]}}, r"^metrics\.mine\.rounds must be first, .*got 'x'$"),
        ({"mine": {**EVALUATION, "rounds": "all"}}, r"^metrics\.mine\.rounds must be a list, .*got 'all'"),
        (
            {"mine": {"_target_": "builtins.int", "x": 1}},
            "metrics.mine._target_ must be a subclass of metrics.base.Met",
        ),
        ({"mine": {"_target_": "builtins.max", "x": 1}}, "metrics.mine cannot be built from builtins.max: TypeError"),
        ({"evaluation": {**EVALUATION, "rounds": "all"}}, r"metrics\.evaluation\.rounds must be a list, .*got 'all'"),
        ({"evaluation": {**EVALUATION, "moments": ["x"]}}, r"metrics\.evaluation\.moments must be some of start"),
    ],
    ids=str,
)
def test_mistakes_name_their_key(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_metrics(config)


def test_null_leaves_a_metric_out() -> None:
    assert list(build_metrics({"evaluation": EVALUATION, "weights": None})) == ["evaluation"]


def test_the_configuration_is_left_as_found() -> None:
    config = {"on_error": "record", "payload_mb": 64, "evaluation": dict(EVALUATION)}
    build_metrics(config)
    assert config == {"on_error": "record", "payload_mb": 64, "evaluation": EVALUATION}
