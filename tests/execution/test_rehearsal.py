"""A strategy that cannot work here is refused before the run, in one sentence, and none outlives a signal."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fedlayers.config.compose import compose_config
from fedlayers.core.errors import Stopped, UserError
from fedlayers.engines.base import Workplace
from fedlayers.engines.local import LocalGrid
from fedlayers.execution.build import build
from fedlayers.runs.folder import RunFolder

Run = Callable[..., Path]
FLOWER = "algorithm=flower"
TARGET = "algorithm.strategy._target_="
STOCK = f"{TARGET}flwr.serverapp.strategy."
TINY = ["clients=3", "examples_per_client=60", "partition=iid", "model.hidden=[16]", "metrics=[]", "device=cpu"]


def built_with(*words: str) -> None:
    build(compose_config([*TINY, *words]))


@pytest.mark.parametrize("name", ["min_available_nodes", "min_train_nodes", "min_evaluate_nodes"])
def test_more_nodes_than_there_are_clients_are_refused(name: str) -> None:
    sentence = (
        rf"^algorithm.strategy.{name} must be 3 or less, the number of clients, got 4; .*wait for others for ever$"
    )
    with pytest.raises(UserError, match=sentence):
        built_with(FLOWER, f"{STOCK}FedAvg", f"+algorithm.strategy.{name}=4")
    built_with(FLOWER, f"{STOCK}FedAvg", f"+algorithm.strategy.{name}=3")


def test_what_a_wrapped_strategy_waits_for_is_refused_too() -> None:
    inner = "{_target_:flwr.serverapp.strategy.FedAvg,min_available_nodes:7}"
    words = [f"+algorithm.strategy.strategy={inner}", "+algorithm.strategy.noise_multiplier=0.1"]
    words += ["+algorithm.strategy.clipping_norm=1.0", "+algorithm.strategy.num_sampled_clients=3"]
    with pytest.raises(UserError, match=r"^algorithm.strategy.strategy.min_available_nodes must be 3 or less"):
        built_with(FLOWER, f"{STOCK}DifferentialPrivacyServerSideFixedClipping", *words)


def test_a_strategy_that_waits_by_itself_is_refused() -> None:
    words = [f"{TARGET}tests.support.odd_strategies.Sleeper", "+algorithm.strategy.server_round=1"]
    with pytest.raises(UserError, match=r"^algorithm.strategy waits for more clients than there are \(3\); raise"):
        built_with(FLOWER, *words, "+algorithm.strategy.asks=true")


ACCEPTED = {
    **dict.fromkeys(["FedAvg", "FedAdagrad", "FedAdam", "FedYogi", "FedMedian", "FedTrimmedAvg", "Krum", "Bulyan"], ""),
    "FedAvgM": "server_momentum=0.9",
    "FedProx": "proximal_mu=0.1",
    "MultiKrum": "num_nodes_to_select=2",
    "QFedAvg": "client_learning_rate=0.05",
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_strategies_for_networks_are_taken_with_their_arguments(name: str) -> None:
    built_with(FLOWER, f"{STOCK}{name}", *([f"+algorithm.strategy.{ACCEPTED[name]}"] if ACCEPTED[name] else []))


@pytest.mark.parametrize("name", ["FedXgbBagging", "FedXgbCyclic"])
def test_strategies_for_trees_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=rf"_target_ must be a strategy for networks, got {name}, which is for XGBoost"):
        built_with(FLOWER, f"{STOCK}{name}")


def test_a_strategy_that_asks_its_clients_is_tried_in_the_run(quick_run: Run) -> None:
    run = quick_run("engine=local", FLOWER, f"{TARGET}tests.support.odd_strategies.Asking", "metrics=[]")
    assert RunFolder(run).is_done()


@pytest.mark.parametrize("asks", [True, False])
def test_no_wait_inside_a_strategy_outlives_a_signal(quick_run: Run, tmp_path: Path, asks: bool) -> None:
    words = ["engine=local", "metrics=[]", FLOWER, f"{TARGET}tests.support.odd_strategies.Sleeper"]
    words += ["+algorithm.strategy.server_round=2", f"+algorithm.strategy.asks={str(asks).lower()}"]

    def end() -> None:
        while not list(tmp_path.glob("*/*/checkpoint*")) and not list(tmp_path.rglob("round=000001.parquet")):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end, daemon=True).start()
    with pytest.raises(Stopped):
        quick_run(*words, folder=tmp_path)


def test_a_grid_tells_no_nodes_once_the_run_is_to_stop(tmp_path: Path) -> None:
    stop = threading.Event()
    grid = LocalGrid(Workplace(None, [1, 1], tmp_path, stop, lambda _: None))  # type: ignore[arg-type]
    assert grid.get_node_ids() == [1, 2] and grid.pull_messages(["1"]) == []
    stop.set()
    for ask in (grid.get_node_ids, lambda: grid.pull_messages(["1"])):
        with pytest.raises(Stopped):
            ask()
