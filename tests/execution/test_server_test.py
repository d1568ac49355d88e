"""The server's own test of the global model: on how many examples, in which rounds, and that nothing else changes."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from torch import nn

from fedlayers import read
from fedlayers.config.compose import compose_config
from fedlayers.config.schema.examples import ServerTest
from fedlayers.config.schema.settings import Config
from fedlayers.core.errors import UserError
from fedlayers.core.federation import Federation
from fedlayers.core.plans.plan import FederationPlan
from fedlayers.core.records import Row
from fedlayers.data import load_federation
from fedlayers.data.partitioning.split import spread_evenly
from fedlayers.data.server_examples import server_examples
from fedlayers.execution.rounds import RoundLoop
from fedlayers.execution.server_tests import ServerTests
from fedlayers.flower.global_model import GlobalModel
from fedlayers.flower.replies import Replies
from fedlayers.flower.strategy_contract import Declared
from fedlayers.measuring.server import ServerMeasuring
from metrics.evaluation import Evaluation
from tests.support.data_configs import config as data_config
from tests.support.data_configs import write_mnist_like

RUN = ("rounds=5", "clients=3", "metrics=[evaluation]", "metrics.evaluation.splits=[test]")


@pytest.fixture(scope="module")
def config() -> Config:
    return compose_config(["dataset=digits", "clients=4"])


@pytest.fixture(scope="module")
def federation(config: Config) -> Federation:
    return load_federation(config)


def test_every_beginning_of_the_order_holds_the_share_of_every_stratum() -> None:
    strata = np.repeat([3, 7, 8], [100, 33, 7])[np.random.default_rng(0).permutation(140)]
    order = spread_evenly(strata, np.random.default_rng(1))
    assert sorted(order) == list(range(140))
    for count in (1, 10, 47, 139):
        found = [(strata[order[:count]] == code).sum() for code in (3, 7, 8)]
        assert np.abs(np.array(found) - count * np.array([100, 33, 7]) / 140).max() <= 1
    assert not np.array_equal(order, spread_evenly(strata, np.random.default_rng(2)))


def test_some_of_the_test_set_by_label_the_same_each_time(config: Config, federation: Federation) -> None:
    some = server_examples(replace(config, server_test=ServerTest(100)), federation)
    more = server_examples(replace(config, server_test=ServerTest(150)), federation)
    everything = federation.server_test
    assert len(some) == 100 and set(some.index.tolist()) < set(more.index.tolist()) < set(everything.index.tolist())
    counts, all_counts = (np.bincount(examples.targets(), minlength=10) for examples in (some, everything))
    assert np.abs(counts - 100 * all_counts / len(everything)).max() <= 1
    assert server_examples(config, federation) is everything
    assert server_examples(replace(config, server_test=ServerTest(len(everything))), federation).index.equal(
        everything.index
    )


def test_more_examples_than_there_are_are_refused(config: Config, federation: Federation) -> None:
    with pytest.raises(UserError, match=r"server_test.examples must be at most 270, the number .* or null .* got 271"):
        server_examples(replace(config, server_test=ServerTest(271)), federation)


def test_an_official_test_set_shrinks_too_and_a_share_of_it_is_no_way_to_say_so(tmp_path: Path) -> None:
    write_mnist_like(tmp_path / "MNIST" / "raw", ("train", "t10k"), 10)
    share = {"server_test": 0.4}
    asked = data_config("MNIST", data_dir=str(tmp_path), split=share, clients=2, server_test=ServerTest(12))
    federation = load_federation(asked)
    assert (len(federation.server_test), len(server_examples(asked, federation))) == (30, 12)
    assert any(
        "split.server_test=0.4 does nothing: MNIST has an official test set of 30" in n for n in federation.notes
    )


def test_the_servers_test_is_made_in_its_rounds_and_changes_nothing_else(quick_run: Callable[..., Path]) -> None:
    every, some = (
        read(quick_run(*RUN)),
        read(quick_run(*RUN, "server_test.rounds=[every 2]", "server_test.examples=20")),
    )
    tested = [run.records[run.records["scope"] == "server_test"] for run in (every, some)]
    rounds = [[*rows["round"].unique()] for rows in tested]
    assert rounds == [[0, 1, 2, 3, 4, 5], [0, 2, 4, 5]] and set(tested[1].loc[tested[1]["round"] == 5, "moment"]) == {
        "final"
    }
    assert set(tested[1]["n"].dropna()) == {20}
    others = [
        run.records[run.records["scope"] != "server_test"].drop(columns="run").reset_index(drop=True)
        for run in (every, some)
    ]
    assert others[0].equals(others[1])


def test_a_test_that_goes_on_is_by_the_plan_of_its_round() -> None:
    plans, next_round = ["all"], threading.Event()

    def test(model: GlobalModel, server_round: int, moment: str, plan: str, known: object) -> list[Any]:
        next_round.wait(10)
        return [server_round, moment, plan]

    packing = SimpleNamespace(plan_of=lambda server_round: plans[-1])
    measuring: Any = SimpleNamespace(concurrent=True, packing=packing, test=test, nobody_waits=lambda *_: True)
    tests = ServerTests(measuring)
    tests.start(GlobalModel({}, {}), 1, "after_aggregate", ())
    plans.append("all but the head")
    next_round.set()
    going_on = tests.going_on()
    assert going_on is not None and going_on.result() == [1, "after_aggregate", "all"]
    tests.close()


@pytest.mark.slow
def test_the_next_clients_train_while_the_server_still_tests(
    quick_run: Callable[..., Path], tables: Callable[[Path], dict[str, bytes]]
) -> None:
    began = threading.Event()
    test, train = ServerMeasuring.test, RoundLoop._train

    def held(
        self: ServerMeasuring, model: GlobalModel, server_round: int, moment: str, plan: FederationPlan, known: Any
    ) -> list[Row]:
        assert (server_round, moment) != (1, "after_aggregate") or began.wait(60)
        return test(self, model, server_round, moment, plan, known)

    def noted(self: RoundLoop, server_round: int) -> Replies:
        if server_round == 2:
            began.set()
        return train(self, server_round)

    with mock.patch.object(ServerMeasuring, "test", held), mock.patch.object(RoundLoop, "_train", noted):
        beside = quick_run("engine=ray", "engine.workers=1", "engine.client_cpus=0.5")
    assert began.is_set() and tables(beside) == tables(quick_run("engine=local"))


@pytest.mark.parametrize(
    ("other", "moment", "waits"),
    [
        ({}, "after_aggregate", False),
        ({}, "start", False),
        ({}, "final", True),
        ({"server_threads": 2}, "after_aggregate", True),
        ({"observes": ("loss",)}, "after_aggregate", True),
        ({"observes": ("update_norm",)}, "after_aggregate", False),
        ({"repeats": False}, "after_aggregate", True),
        ({"concurrent": False}, "after_aggregate", True),
    ],
)
def test_who_waits_for_the_servers_test(config: Config, other: dict[str, Any], moment: str, waits: bool) -> None:
    metric, strategy = Evaluation(), Declared()
    metric.repeats = other.get("repeats", True)  # type: ignore[misc]
    strategy.observes = other.get("observes", ())
    measuring = object.__new__(ServerMeasuring)
    measuring.config = replace(config, server_threads=other.get("server_threads", 1))
    measuring.metrics, measuring.strategy, measuring.module = {"evaluation": metric}, strategy, nn.Identity()
    measuring.concurrent = other.get("concurrent", True)
    measuring.__post_init__()
    assert measuring.nobody_waits(1, moment) is not waits


def test_rounds_that_never_come_are_refused(quick_run: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match=r"server_test.rounds must be a list with one round or more of this run"):
        quick_run("rounds=2", "server_test.rounds=[3]")


def test_scores_that_are_shown_are_of_one_kind_in_all_rounds(
    quick_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = read(quick_run(*RUN[1:], "server_test.rounds=[last]", "progress=plain"))
    shown = [line for line in capsys.readouterr().err.splitlines() if line.startswith("round ")]
    rows = run.records.query("metric == 'accuracy' and scope == 'client_test' and moment == 'after_aggregate'")
    means = [np.average(own["value"], weights=own["n"]) for _, own in rows.groupby("round")]
    assert [f"accuracy {mean:.3f}" in line for mean, line in zip(means, shown, strict=True)] == [True, True]
