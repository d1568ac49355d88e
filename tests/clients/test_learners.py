"""Learners: only the named weights move, several optimizers and several networks need no loop of their own."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from clients.batches import Batch
from clients.learners.base import Hooks, Learner
from clients.learners.composed import Composed
from clients.learners.end_to_end import EndToEnd
from clients.network import Network
from clients.observers import Observer, View
from clients.training import train_locally
from fedlayers import read
from fedlayers.config.schema.training import Training
from fedlayers.core.errors import UserError
from fedlayers.core.schedule import Step
from fedlayers.core.seeding import torch_generator
from fedlayers.core.weights import split_state
from tests.clients.test_training import examples_of, network

HEAD, BODY = ["2.weight", "2.bias"], ["0.weight", "0.bias"]


def network_of(module: nn.Module) -> Network:
    return Network(module, *split_state(module))


def run(learner: Learner, training: Training, count: int = 30, observers: Sequence[Observer] = ()) -> None:
    generator = torch_generator(0, "batches")
    train_locally(learner, examples_of(count), training, generator=generator, observers=observers)


@pytest.mark.parametrize("names", [HEAD, BODY, ["2.bias"], ["2.bias", "0.weight"]])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_subset_trains_as_if_the_rest_required_no_gradients(names: list[str], optimizer: str) -> None:
    training = Training(optimizer=optimizer, weight_decay=0.1, clip_norm=0.5, batch_size=8, epochs=2)
    chosen = network_of(network())
    run(EndToEnd(chosen, training, 0.05, names=reversed(names)), training)
    module = network()
    for name, own in module.named_parameters():
        own.requires_grad_(name in names)
    frozen = network_of(module)
    run(EndToEnd(frozen, training, 0.05), training)
    for name, tensor in chosen.parameters.items():
        assert torch.equal(tensor, frozen.parameters[name]), name
        # What is not named stays: neither decay nor momentum move it.
        assert torch.equal(tensor, module.get_parameter(name)) == (name not in names)


class Turns(Composed):
    """Trains the head in the first epoch and the body after it, each with an optimizer of its own."""

    def __init__(self, net: Network, training: Training, lr: float, hooks: Hooks | None = None) -> None:
        parts = {"head": HEAD, "body": BODY}
        super().__init__({key: EndToEnd(net, training, lr, names=own, hooks=hooks) for key, own in parts.items()})

    def step(self, batch: Batch, step: Step) -> Tensor:
        return self.parts["head" if step.number <= step.per_epoch else "body"].step(batch, step)


def test_head_and_body_by_turns_equal_two_trainings_by_hand() -> None:
    training = Training(momentum=0.9, weight_decay=0.1, batch_size=10, epochs=3)
    module, examples, generator = network(), examples_of(20), torch_generator(0, "batches")
    found = network_of(module)
    run(Turns(found, training, 0.1), training, count=20)
    twin = copy.deepcopy(module)
    for epoch in range(3):
        part = twin[0 if epoch else 2]
        if epoch < 2:
            optimizer = torch.optim.SGD(part.parameters(), 0.1, 0.9, weight_decay=0.1)
        for chosen in torch.split(torch.randperm(20, generator=generator), 10):
            features, labels = examples.batch(chosen)
            twin.zero_grad()
            cross_entropy(twin(features), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    for name, tensor in twin.named_parameters():
        assert torch.equal(found.parameters[name], tensor), name


class TwoModels(Composed):
    """Trains a model, and beside it a second one that is held near the first (Ditto, equation 2)."""

    def __init__(self, first: Network, second: Network, training: Training, pull: float) -> None:
        self.pull = pull
        hooks = Hooks(first.parameters, extra_loss=self._pull)
        own = EndToEnd(second, training, 0.1, hooks=hooks)
        super().__init__({"first": EndToEnd(first, training, 0.1), "second": own})

    def _pull(self, parameters: Any, reference: Any) -> Tensor:
        parts = [(parameters[name] - reference[name].detach()).square().sum() for name in parameters]
        return self.pull / 2 * torch.stack(parts).sum()

    def step(self, batch: Batch, step: Step) -> Tensor:
        loss = self.parts["first"].step(batch, step)
        self.parts["second"].step(batch, step)
        return loss


@pytest.mark.parametrize("pull", [0.0, 0.5])
def test_two_models_train_in_one_loop(pull: float) -> None:
    training = Training(momentum=0.0, batch_size=30)
    module = network(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))
    first, alone = network_of(module), network_of(module)
    start = {name: tensor + 1 for name, tensor in split_state(module)[0].items()}
    second = first.twin({name: tensor.clone() for name, tensor in start.items()}, split_state(module)[1])
    run(TwoModels(first, second, training, pull), training)
    run(EndToEnd(alone, training, 0.1), training)
    for kind in ("parameters", "buffers"):
        assert all(torch.equal(t, getattr(alone, kind)[n]) for n, t in getattr(first, kind).items())
    twin = copy.deepcopy(module)
    twin.load_state_dict(start, strict=False)
    features, labels = examples_of(30).batch(torch.randperm(30, generator=torch_generator(0, "batches")))
    cross_entropy(twin(features), labels).backward()  # type: ignore[no-untyped-call]
    for name, own in twin.named_parameters():
        assert own.grad is not None
        expected = start[name] - 0.1 * (own.grad + pull * (start[name] - first.parameters[name]))
        torch.testing.assert_close(second.parameters[name], expected, rtol=1e-5, atol=1e-6)
    for name, buffer in twin.named_buffers():
        torch.testing.assert_close(second.buffers[name], buffer, rtol=1e-6, atol=1e-6)


class Names(Observer):
    """Notes the names of what it may read."""

    def __init__(self) -> None:
        self.weights: set[str] = set()
        self.gradients: list[set[str]] = []

    def on_batch(self, view: View) -> None:
        self.weights = set(view.weights)
        self.gradients.append(set(view.gradients))


def test_observers_see_what_each_part_did() -> None:
    training, names, both = Training(batch_size=30, epochs=2), Names(), Names()
    run(Turns(network_of(network()), training, 0.1), training, observers=[names])
    assert names.weights == {*HEAD, *BODY}
    assert names.gradients == [set(HEAD), set(BODY)]
    first = network_of(network())
    pair = TwoModels(first, first.twin(*split_state(first.module)), training, 0.0)
    run(pair, training, observers=[both])
    assert both.weights == {f"{part}/{name}" for part in ("first", "second") for name in (*HEAD, *BODY)}
    assert both.gradients == [both.weights] * 2


def test_a_twin_shares_structure_and_copies_no_tensor() -> None:
    first = network_of(network())
    second = first.twin(*split_state(first.module))
    assert second.module is not first.module
    pairs = zip(first.module.parameters(), second.module.parameters(), strict=True)
    assert all(own is other for own, other in pairs)


def test_networks_of_one_module_and_strange_names_are_refused() -> None:
    module, training = network(), Training()
    learner = TwoModels(network_of(module), network_of(module), training, 0.0)
    with pytest.raises(UserError, match="must each have a module of their own, got one module twice; make the second"):
        run(learner, training)
    strange: Sequence[tuple[list[str], str]] = [(["2.weight", "3.weight"], "'3.weight'"), ([], "none")]
    for names, got in strange:
        with pytest.raises(UserError, match=f"names must be of weights of the model.*, such as '0.weight', got {got}"):
            EndToEnd(network_of(module), training, 0.1, names=names)


Run = Callable[..., Path]
OWN = "algorithm.client._target_=tests.support.own_learners."


def test_a_client_trains_head_and_body_by_turns(quick_run: Run) -> None:
    words = ["engine=local", "rounds=1", "metrics=[weights]", "metrics.weights.steps=[all]", "training.epochs=2"]
    moved = read(quick_run(*words, f"{OWN}TurnsClient", "training.weight_decay=0.1")).records.query("step == step")
    norms = moved.query("metric == 'update_norm' and layer == layer").pivot_table(
        index=["client", "step"], columns="layer", values="value"
    )
    step = norms.index.get_level_values("step")
    first, later = norms[step <= step.max() // 2], norms[step >= step.max() // 2]
    assert (first.fc1 == 0).all() and (first.fc2 > 0).all()
    assert later.groupby("client").fc2.nunique().eq(1).all() and (later.fc1.groupby("client").nunique() > 1).all()


def test_a_client_trains_a_second_model_beside_fedavg(quick_run: Run) -> None:
    words = ["engine=local", "metrics=[evaluation]", "training.optimizer_state=carried"]
    found, plain = (read(quick_run(*words, *more)).records for more in ([f"{OWN}SecondModelClient"], []))
    query = "metric == 'loss' and scope == 'server_test'"
    assert found.query(query).value.tolist() == plain.query(query).value.tolist()
    trained = found.query("metric == 'loss' and scope == 'client_test' and moment == 'after_local'")
    losses = trained.pivot_table(index=["client", "round"], columns="model", values="value")
    assert len(losses) == 8 and losses.notna().all(axis=None)
    assert (losses["global"] != losses.personal).all()
