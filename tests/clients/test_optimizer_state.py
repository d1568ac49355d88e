"""What optimizers remember: split trainings go on as one, each client keeps its own, and a stop changes nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clients.learners.end_to_end import EndToEnd
from clients.network import Network
from clients.training import train_locally
from fedlayers import read
from fedlayers.config.schema.training import Training
from fedlayers.core.seeding import torch_generator
from fedlayers.runs.client_state import unpack
from tests.clients.test_learners import HEAD, Turns, network_of
from tests.clients.test_training import examples_of, network
from tests.execution.test_resume import Crash, crash_at

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
CARRIED = ["engine=local", "rounds=3", "metrics=[evaluation]", "training.optimizer_state=carried"]


def epochs(
    net: Network, training: Training, count: int, split: bool, names: list[str] | None = None
) -> dict[str, Tensor]:
    """Train some epochs with one learner, or with another one each, which goes on from the one before."""
    generator = torch_generator(0, "batches")
    state: dict[str, Tensor] = {}
    whole = EndToEnd(net, training, 0.05, names=names)
    for _ in range(count):
        learner = EndToEnd(net, training, 0.05, names=names) if split else whole
        if split:
            learner.load({name: tensor.clone() for name, tensor in state.items()})
        train_locally(learner, examples_of(30), training, generator=generator)
        state = learner.state()
    return state


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_training_in_parts_is_one_training(optimizer: str) -> None:
    training = Training(optimizer=optimizer, weight_decay=0.1, batch_size=8)
    parts, whole = network_of(network()), network_of(network())
    state, expected = epochs(parts, training, 3, split=True), epochs(whole, training, 3, split=False)
    assert all(torch.equal(tensor, whole.parameters[name]) for name, tensor in parts.parameters.items())
    assert state.keys() == expected.keys() and all(torch.equal(own, expected[key]) for key, own in state.items())
    kinds = {"sgd": {"momentum"}, "adam": {"step", "exp_avg", "exp_avg_sq"}}
    assert {key.partition("/")[0] for key in state} == kinds.get(optimizer, kinds["adam"])
    fresh = network_of(network())
    for _ in range(3):
        epochs(fresh, training, 1, split=True)
    assert not torch.equal(fresh.parameters["0.weight"], whole.parameters["0.weight"])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_weights_without_a_state_start_afresh(optimizer: str) -> None:
    training = Training(optimizer=optimizer, batch_size=8)
    state = epochs(network_of(network()), training, 1, split=False, names=HEAD)
    alone, both = network_of(network()), network_of(network())
    learner = EndToEnd(both, training, 0.05)
    learner.load(state)
    for net, own in ((alone, EndToEnd(alone, training, 0.05)), (both, learner)):
        train_locally(own, examples_of(8), training, generator=torch_generator(0, "batches"))
        assert set(own.state()) >= set(state), net
    assert torch.equal(alone.parameters["0.weight"], both.parameters["0.weight"])
    assert not torch.equal(alone.parameters["2.weight"], both.parameters["2.weight"])


def test_without_momentum_there_is_nothing_to_remember() -> None:
    assert epochs(network_of(network()), Training(momentum=0.0), 2, split=True) == {}


def test_a_composed_learner_goes_on_part_by_part() -> None:
    training = Training(batch_size=8, epochs=2)
    parts, whole = network_of(network()), network_of(network())
    generators = [torch_generator(0, "batches") for _ in range(2)]
    kept = Turns(whole, training, 0.05)
    state: dict[str, Tensor] = {}
    for _ in range(2):
        learner = Turns(parts, training, 0.05)
        learner.load({name: tensor.clone() for name, tensor in state.items()})
        for one, generator in zip((learner, kept), generators, strict=True):
            train_locally(one, examples_of(30), training, generator=generator)
        state = learner.state()
    assert set(state) >= {"head/momentum/2.weight", "body/momentum/0.weight"}
    assert all(torch.equal(tensor, whole.parameters[name]) for name, tensor in parts.parameters.items())


def states(run: Path, client: int) -> dict[int, dict[str, Tensor]]:
    """Return round -> the record of the optimizer in a client's states that are kept."""
    found = {int(path.name.partition("@")[2]): unpack(path) for path in (run / "state").glob(f"{client}@*")}
    return {
        number: {key: torch.from_numpy(array.numpy().copy()) for key, array in state["optimizer"].items()}  # type: ignore[union-attr]
        for number, state in found.items()
    }


@pytest.fixture(scope="module")
def sampled(quick_run: Run) -> Path:
    """Return a run in which each client skips rounds."""
    return quick_run(*CARRIED, "training.optimizer=adam", "training.lr=0.01", "fraction=0.5", "training.steps=2")


def test_a_client_that_skips_rounds_keeps_its_state(sampled: Path) -> None:
    trained = read(sampled).records.query("metric == 'training_loss'").groupby("client")["round"].agg(list)
    assert any(len(rounds) < 3 for rounds in trained)
    for client, rounds in trained.items():
        found = states(sampled, int(str(client)))
        assert set(found) == set(rounds[-2:])
        # Its own steps: two in each round in which it trained.
        assert {float(own) for key, own in found[rounds[-1]].items() if key.startswith("step/")} == {2.0 * len(rounds)}


@pytest.mark.parametrize("place", ["_train", "commit_clients"])
def test_a_killed_run_goes_on_with_the_same_state(
    sampled: Path, quick_run: Run, tables: Tables, tmp_path: Path, place: str
) -> None:
    words = [*CARRIED, "training.optimizer=adam", "training.lr=0.01", "fraction=0.5", "training.steps=2"]
    with crash_at(place, 3), pytest.raises(Crash):
        quick_run(*words, folder=tmp_path)
    again = quick_run(*words, folder=tmp_path)
    assert tables(again) == tables(sampled)
    assert sorted(p.name for p in (again / "state").iterdir()) == sorted(p.name for p in (sampled / "state").iterdir())


def test_rounds_of_a_centralized_training_go_on_as_one(quick_run: Run) -> None:
    # Full batches: rounds differ in nothing but the order in which sums are taken.
    words = ["engine=local", "algorithm=centralized", "training.batch_size=10000", "metrics=[evaluation]"]
    words += ["training.optimizer=adamw", "training.lr=0.01", "training.warmup=3"]
    words += ["training.schedule=cosine", "training.schedule_by=step"]
    runs = {
        "one": quick_run(*words, "rounds=1", "training.steps=6"),
        "carried": quick_run(*words, "rounds=3", "training.steps=2", "training.optimizer_state=carried"),
        "fresh": quick_run(*words, "rounds=3", "training.steps=2"),
    }
    query = "metric == 'loss' and scope == 'server_test' and moment == 'after_aggregate'"
    last = {name: read(run).records.query(query).sort_values("round").value.iloc[-1] for name, run in runs.items()}
    assert last["carried"] == pytest.approx(last["one"], rel=1e-4)
    assert abs(last["fresh"] - last["one"]) > 1e-3
    assert set(states(runs["carried"], 0)) == {2, 3}
    assert not list((runs["fresh"] / "state").glob("0@*"))
