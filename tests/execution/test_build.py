"""Everything is built before the first round; what the strategy gets besides its own arguments."""

from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
import torch
from flwr.serverapp.strategy import FedAdam, Krum, Strategy
from flwr.serverapp.strategy import FedAvg as FlowerFedAvg

from fedlayers.config.compose import compose_config
from fedlayers.config.options import options
from fedlayers.config.schema.settings import Config
from fedlayers.core.errors import UserError
from fedlayers.execution.build import build, build_strategy
from strategies.fedavg import FedAvg

TINY = ["clients=3", "examples_per_client=40", "partition=iid", "model.hidden=[8]", "device=cpu"]
STOCK = ["FedAdagrad", "FedAdam", "FedAvg", "FedAvgM", "FedMedian", "FedProx", "FedTrimmedAvg", "FedYogi", "Krum"]
ASKED = {"flower": ["algorithm.strategy._target_=flwr.serverapp.strategy.FedYogi"]}


class Narrow(Strategy):
    """A strategy that knows none of the arguments that are filled in."""

    def __init__(self, rate: float = 1.0) -> None:
        self.rate = rate

    def _unused(self, *_: Any, **__: Any) -> Any:
        raise AssertionError

    configure_train = aggregate_train = configure_evaluate = aggregate_evaluate = summary = _unused


class PassesOn(FlowerFedAvg):
    """A strategy that passes what it does not know on to its parent, as ours do."""

    def __init__(self, rate: float = 1.0, **flower: Any) -> None:
        super().__init__(**flower)
        self.rate = rate


class Broken(Strategy):
    """A strategy whose constructor raises."""

    def __init__(self) -> None:
        raise RuntimeError("no such thing\nsecond line")

    _unused = Narrow._unused
    configure_train = aggregate_train = configure_evaluate = aggregate_evaluate = summary = _unused


def with_strategy(target: Any, *overrides: str, **arguments: Any) -> Config:
    config = compose_config(["algorithm=fedavg", *overrides])
    name = target if isinstance(target, str) else f"{target.__module__}.{target.__qualname__}"
    return replace(config, algorithm={**config.algorithm, "strategy": {"_target_": name, **arguments}})


@pytest.mark.parametrize("option", options()["algorithm"])
@pytest.mark.parametrize("weighting", ["examples", "uniform"])
def test_every_algorithm_is_given_sampling_and_weighting(option: str, weighting: str) -> None:
    fraction = 1.0 if option == "cfl" else 0.3  # cfl compares the updates of all clients
    words = [f"algorithm={option}", f"fraction={fraction}", f"weighting={weighting}", *ASKED.get(option, [])]
    strategy = build_strategy(compose_config(words))
    assert isinstance(strategy, FlowerFedAvg)
    assert (strategy.fraction_train, strategy.fraction_evaluate) == (fraction, fraction)
    assert (strategy.min_train_nodes, strategy.min_evaluate_nodes, strategy.min_available_nodes) == (1, 1, 1)
    assert strategy.weighted_by_key == {"examples": "num-examples", "uniform": "one"}[weighting]


@pytest.mark.parametrize("name", STOCK)
def test_stock_strategies_are_given_the_same(name: str) -> None:
    required = {"FedProx": {"proximal_mu": 0.0}}.get(name, {})
    strategy = build_strategy(with_strategy(f"flwr.serverapp.strategy.{name}", "fraction=0.5", **required))
    assert isinstance(strategy, FlowerFedAvg)
    assert (strategy.fraction_train, strategy.min_available_nodes) == (0.5, 1)


def test_options_reach_the_strategy() -> None:
    ours = build_strategy(compose_config(["algorithm.server_lr=0.5", "algorithm.server_momentum=0.9"]))
    assert isinstance(ours, FedAvg)
    assert (ours.server_lr, ours.server_momentum) == (0.5, 0.9)
    adam = build_strategy(compose_config(["algorithm=fedadam", "algorithm.eta=0.25", "algorithm.tau=0.5"]))
    assert isinstance(adam, FedAdam)
    assert (adam.eta, adam.tau, adam.beta_1, adam.beta_2) == (0.25, 0.5, 0.9, 0.99)
    krum = build_strategy(compose_config(["algorithm=krum", "algorithm.num_malicious_nodes=2"]))
    assert isinstance(krum, Krum)
    assert krum.num_malicious_nodes == 2


def test_only_known_arguments_are_filled_in() -> None:
    assert vars(build_strategy(with_strategy(Narrow, rate=0.5))) == {"rate": 0.5}
    passed = build_strategy(with_strategy(PassesOn, "fraction=0.5", rate=2.0))
    assert isinstance(passed, PassesOn)
    assert (passed.rate, passed.fraction_train, passed.min_train_nodes) == (2.0, 0.5, 1)


def test_what_is_given_wins() -> None:
    strategy = build_strategy(with_strategy(FlowerFedAvg, min_train_nodes=2))
    assert (strategy.min_train_nodes, strategy.min_evaluate_nodes) == (2, 1)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"algorithm.strategy.fraction_train is filled in by the run; set fraction in"):
        build_strategy(with_strategy(FlowerFedAvg, fraction_train=0.25))


@pytest.mark.parametrize("target", ["torch.nn.Identity", "clients.fedavg.FedAvgClient"])
def test_what_is_no_strategy_is_refused(target: str) -> None:
    with pytest.raises(
        UserError, match=rf"algorithm.strategy._target_ must be a subclass of .*, got {target}, which is"
    ):
        build_strategy(with_strategy(target))


@pytest.mark.parametrize("target", ["no.such.Strategy", "flwr.serverapp.strategy.FedAvgg", "math.pi"])
def test_a_name_without_a_class_is_refused(target: str) -> None:
    with pytest.raises(UserError, match=rf"algorithm.strategy._target_={target}: "):
        build_strategy(with_strategy(target))


def test_a_constructor_that_fails_is_named_in_one_line() -> None:
    with pytest.raises(
        UserError, match=r"^algorithm.strategy cannot be built from .*Broken: RuntimeError: no such thing$"
    ):
        build_strategy(with_strategy(Broken))
    with pytest.raises(UserError, match=r"algorithm.strategy.frobnicate: FedAvg has no argument 'frobnicate'"):
        build_strategy(with_strategy(FlowerFedAvg, frobnicate=1))


def test_our_own_range_errors_stay_as_they_are() -> None:
    with pytest.raises(UserError, match=r"^algorithm.server_lr must be"):
        build_strategy(compose_config(["algorithm.server_lr=-1"]))
    with pytest.raises(UserError, match=r"^algorithm.server_momentum must be"):
        build_strategy(compose_config(["algorithm.server_momentum=1"]))


def test_everything_is_built() -> None:
    config = compose_config([*TINY, "metrics=[weights]"])
    built = build(config)
    assert built.federation.num_clients == 3
    assert [layer.name for layer in built.layers] == ["fc1", "fc2"]
    assert list(built.metrics) == ["weights"]
    assert isinstance(built.strategy, FedAvg)
    assert built.device.type == "cpu"
    again = build(config).module.state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in built.module.state_dict().items())


def test_mistakes_are_found_before_data_are_loaded() -> None:
    config = compose_config([*TINY, "algorithm.server_lr=-1"])
    with (
        mock.patch("fedlayers.execution.assembly.load_federation", side_effect=AssertionError("loaded")),
        pytest.raises(UserError, match=r"algorithm.server_lr"),
    ):
        build(config)


@pytest.mark.parametrize(
    ("words", "remarked"), [([], True), (["training.epochs=2"], False), (["algorithm=centralized"], False)]
)
def test_steps_that_nobody_comes_to_are_remarked(words: list[str], remarked: bool) -> None:
    few = ["metrics=[weights]", "training.batch_size=10", "metrics.weights.steps=[every 6]"]
    built = build(compose_config([*TINY, *few, *words]))
    most = -(-int(built.federation.splits["client_train"].sizes.max()) // 10)
    assert 3 <= most < 6 <= 2 * most
    sentence = (
        f"metrics.weights.steps=['every 6'] names no step of a local training, which has at most {most}: nothing is "
    )
    assert [note.startswith(sentence) for note in built.notes] == [True] * remarked


@pytest.mark.parametrize(
    ("words", "remarks"),
    [
        (["metrics.weights.rounds=[1,7]"], ["metrics.weights.rounds=[1, 7] names 7, and the last round is 2: nothing"]),
        (["metrics.weights.rounds=[first,every 3]", "server_test.rounds=[2,5,9]"],
         ["metrics.weights.rounds=['first', 'every 3'] names every 3, and", "server_test.rounds=[2, 5, 9] names 5, 9"]),
        (["snapshots.rounds=[last,8]"], ["snapshots.rounds=['last', 8] names 8, and the last round is 2"]),
        (["metrics.weights.steps=[1,90]"], ["metrics.weights.steps=[1, 90] names 90, and a local training has at"]),
        (["metrics.weights.rounds=[all,2]", "metrics.weights.steps=[every epoch,1]"], []),
        (["algorithm=fedtrimmedavg", "algorithm.beta=0.2"], ["algorithm.beta=0.2 of 4 clients is less than one: Fed"]),
        (["algorithm=fedtrimmedavg", "algorithm.beta=0.25"], []),
    ],
)  # fmt: skip
def test_what_the_run_does_not_come_to_is_remarked(words: list[str], remarks: list[str]) -> None:
    four = ["metrics=[weights]", "clients=4", "rounds=2", "model.hidden=[4]"]
    notes = build(compose_config([*four, *words])).notes
    assert [note.startswith(remark) for note, remark in zip(notes, remarks, strict=True)] == [True] * len(remarks)


@pytest.mark.parametrize(
    ("words", "remark"),
    [
        (
            ["training.schedule_by=step", "training.warmup=12"],
            "takes all steps of the run, at most 12: training.schedule=c",
        ),
        (["training.schedule_by=step", "training.warmup=11"], None),
        (["training.warmup=4"], "takes all rounds of the run, at most 4: training.schedule=constant does not begin"),
        (["training.warmup=3"], None),
    ],
)
def test_a_warm_up_that_never_ends_is_remarked(words: list[str], remark: str | None) -> None:
    notes = build(compose_config([*TINY, "metrics=[weights]", "rounds=4", "training.steps=3", *words])).notes
    assert [remark in note for note in notes] == [True] if remark else not notes
