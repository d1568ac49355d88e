"""What strategies declare, with defaults for Flower's own, and what a run makes of it."""

import ast
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ArrayRecord, Message
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping as Clipping
from flwr.serverapp.strategy import FedAvg, FedMedian

from clients.fedavg import FedAvgClient
from fedlayers import read
from fedlayers.config.options import options
from fedlayers.core.errors import UserError
from fedlayers.core.plans.threshold import Threshold
from fedlayers.execution.rehearsal import check_observed
from fedlayers.flower.strategy_contract import Declared, average_by, check_declared, declared, parts_of
from fedlayers.runs.folder import RunFolder
from strategies.centralized import Centralized
from strategies.clustered import Clustered
from strategies.fedavg import FedAvg as Ours
from strategies.local import Local
from tests.support.odd_strategies import DeclaredWrapping, Observing, Undeclared, Wrapping

# The network here attends nowhere.
EVERY_METRIC = f"metrics=[{','.join(name for name in options()['metrics'] if name != 'attention')}]"


def test_stock_strategies_have_the_defaults_and_wrappers_what_they_wrap() -> None:
    assert type(declared(FedMedian())) is Declared
    assert (declared(FedAvg()).has_global_model, declared(FedAvg()).pooled) == (True, False)
    assert declared(Local()).has_global_model is False
    inner = Centralized()
    assert declared(Clipping(inner, 0.1, 1.0, 1)) is inner
    assert declared(inner).pooled


def test_what_nobody_would_ask_for_is_refused() -> None:
    with pytest.raises(UserError, match="Undeclared has has_global_model, which nobody asks for; derive it from fed"):
        check_declared(Undeclared())
    check_declared(Local())


class Derived(Ours):
    """Inherits the aggregation, and with it what it says of itself."""


class Median(Ours):
    """Aggregates in a way of its own."""

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[ArrayRecord | None, None]:
        return None, None


class Mixed(Median, Derived):
    """Inherits the aggregation from one and the promise from the other."""


def test_whoever_aggregates_says_whether_it_only_averages() -> None:
    assert [average_by(strategy, "one") for strategy in (Ours(), Derived(), Centralized())] == ["num-examples"] * 3
    others = Median(), Mixed(), Local(), FedAvg(), FedMedian()
    assert [average_by(strategy, "one") for strategy in (*others, Clipping(Ours(), 0.1, 1.0, 1))] == [None] * 6


def test_what_wraps_says_so() -> None:
    inner = Local()
    assert list(parts_of(DeclaredWrapping(inner)))[1:] == [inner]
    check_declared(DeclaredWrapping(inner))
    with pytest.raises(UserError, match=r"Wrapping has inner, which nobody asks for; .* from its method wrapped"):
        check_declared(Wrapping(inner))


OBSERVING = ["algorithm.strategy._target_=tests.support.odd_strategies.Observing", "rounds=3", "clients=3"]
OBSERVING += ["metrics.weights.rounds=[first,last]"]


def calls_of(run: Path) -> Any:
    return RunFolder(run).checkpoint(3)[1]["strategy"]["calls"]


@pytest.fixture(scope="module")
def observed(quick_run: Callable[..., Path]) -> Path:
    return quick_run("engine=local", *OBSERVING)


def test_a_strategy_sees_the_rows_that_it_asks_for_before_they_are_needed(observed: Path) -> None:
    calls = [[*call["list"][:2], *(item["list"] for item in call["list"][2:4])] for call in calls_of(observed)["list"]]
    loss = [["client", "server"], ["loss"]]
    trained, last = ["loss", "training_loss"], ["loss", "training_loss", "update_norm"]
    assert calls == [
        [0, "start", *loss],
        [1, "after_local", ["client"], last],
        [1, "after_local", ["client"], ["drift"]],
        [1, "after_aggregate", *loss],
        [2, "after_local", ["client"], trained],
        [2, "after_aggregate", *loss],
        # Drift is measured in the last round, and not shown.
        [3, "after_local", ["client"], trained],
        [3, "after_aggregate", *loss],
    ]
    rows = read(observed).records.query(
        "round == 2 and metric in ['loss', 'training_loss'] and moment == 'after_local'"
    )
    assert calls_of(observed)["list"][4]["list"][4] == pytest.approx(rows.value.sum())


def test_what_a_strategy_has_seen_goes_on_with_the_run(
    observed: Path, quick_run: Callable[..., Path], tmp_path: Path
) -> None:
    words = [word for word in OBSERVING if word != "rounds=3"]
    quick_run("engine=local", *words, "rounds=1", folder=tmp_path)
    longer = quick_run("engine=local", *words, "rounds=3", folder=tmp_path)
    assert calls_of(longer) == calls_of(observed)
    assert RunFolder(longer).checkpoint(3)[0] == RunFolder(observed).checkpoint(3)[0]


@pytest.mark.slow
def test_a_strategy_sees_the_same_on_workers(observed: Path, quick_run: Callable[..., Path]) -> None:
    spread = quick_run("engine=ray", "engine.workers=2", "engine.client_cpus=0.5", *OBSERVING)
    assert calls_of(spread) == calls_of(observed)


@pytest.mark.parametrize(
    ("quantity", "sentence"),
    [
        ("gradient_norm", "got 'gradient_norm', which no metric of it does; add gradients to metrics"),
        ("acuracy", r"got 'acuracy', which no metric of it does; did you mean accuracy\?"),
    ],
)
def test_what_is_not_measured_cannot_be_observed(quantity: str, sentence: str) -> None:
    # A client's own rows, and a strategy's.
    check_observed("algorithm.strategy", Observing(["training_loss"]), FedAvgClient, {})
    clusters = Clustered()
    clusters.observes = ("cluster",)
    check_observed("algorithm.strategy", clusters, FedAvgClient, {})
    # What a strategy's own clients make up, and a plan's rule of rows of the strategy beside it.
    check_observed("algorithm.strategy", Observing(["wrongname"]), FedAvgClient, {})
    check_observed("plan.rule", Threshold("cluster", 1.0, None, 1), FedAvgClient, {}, Clustered)
    with pytest.raises(UserError, match=sentence):
        check_observed("algorithm.strategy", Observing([quantity]), FedAvgClient, {})


@pytest.mark.parametrize(
    "folder", ["fedlayers/flower", "fedlayers/execution", "fedlayers/measuring", "strategies", "clients"]
)
def test_nothing_is_found_by_looking_whether_it_is_there(folder: str) -> None:
    root = Path(__file__).parents[2] / folder
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "hasattr" and not (node.func.id == "getattr" and len(node.args) == 3), path


def test_one_participant_on_all_examples_is_compared_with_nobody(quick_run: Callable[..., Path]) -> None:
    words = ["rounds=1", "clients=3", "similarity=[cka]", "probe.size=40", "metrics.curvature.probes=[2,4]"]
    run = quick_run("engine=local", "algorithm=centralized", EVERY_METRIC, *words)
    tables = read(run)
    assert tables.pairs.empty
    trained = tables.records.query("moment == 'after_local'")
    assert set(trained.owner) == {"server"} and trained.client.isna().all()
    compared = ["drift", "update_cosine", "b_dissimilarity", "between_client_variance", "clusters", "cluster"]
    assert not trained.metric.isin(compared).any()
    # Before and after, all clients evaluate the model: how their gradients differ is the data's.
    evaluated = tables.records.query("moment == 'after_aggregate' and metric == 'between_client_variance'")
    assert set(evaluated.status) == {"ok"}
