"""Local training: the same weights as a plain torch loop, every example once, hooks by hand."""

import copy
import math
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from clients.batches import Augment, positions
from clients.learners.base import Hooks
from clients.learners.end_to_end import EndToEnd
from clients.network import Network
from clients.observers import Observer
from clients.optimizers import clipped
from clients.training import LocalResult, train_locally
from fedlayers.config.schema.training import Training
from fedlayers.core.errors import UserError
from fedlayers.core.federation import Examples
from fedlayers.core.seeding import torch_generator
from fedlayers.core.weights import load_state, split_state
from fedlayers.models import build_model
from fedlayers.models.cnn import CNN
from tests.support.metric_views import where

MODEL_FOLDER = Path(__file__).parents[2] / "conf" / "model"


def examples_of(
    count: int, shape: tuple[int, ...] = (6,), classes: int = 3, dtype: torch.dtype = torch.float32
) -> Examples:
    draw = torch.Generator().manual_seed(5)
    features = torch.randn(2 * count, *shape, generator=draw, dtype=dtype)
    labels = torch.randint(classes, (2 * count,), generator=draw)
    return Examples(features, labels, torch.arange(0, 2 * count, 2), torch.tensor(0.5), torch.tensor(0.1))


def network(*layers: nn.Module) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        parts = layers or (nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
        for part in parts:
            if isinstance(part, nn.Linear | nn.Conv2d):
                part.reset_parameters()
        return nn.Sequential(*parts).to(where[0])


def trained(
    module: nn.Module,
    examples: Examples,
    training: Training,
    lr: float = 0.1,
    seed: int = 0,
    augment: Augment | None = None,
    observers: Sequence[Observer] = (),
    **hooks: Any,
) -> tuple[dict[str, Tensor], dict[str, Tensor], LocalResult]:
    parameters, buffers = split_state(module)
    learner = EndToEnd(Network(module, parameters, buffers), training, lr, hooks=Hooks(**hooks))
    generator = torch_generator(seed, "batches")
    result = train_locally(
        learner, examples, training, generator=generator, augment=augment, observers=observers, device=where[0]
    )
    return parameters, buffers, result


def plain_loop(module: nn.Module, examples: Examples, training: Training, optimizer: torch.optim.Optimizer) -> float:
    """The textbook loop, on the module itself, whole epochs only; returns the mean loss."""
    generator = torch_generator(0, "batches")
    losses = []
    module.train()
    for _ in range(int(training.epochs)):
        for chosen in torch.split(torch.randperm(len(examples), generator=generator), training.batch_size):
            features, labels = (tensor.to(where[0]) for tensor in examples.batch(chosen))
            loss = cross_entropy(module(features), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if training.clip_norm is not None:
                nn.utils.clip_grad_norm_(module.parameters(), training.clip_norm)
            optimizer.step()
            losses += [loss.item()] * len(labels)
    return sum(losses) / len(losses)


def agree(found: Mapping[str, Tensor], module: nn.Module, tolerance: float) -> None:
    for name, tensor in module.named_parameters():
        torch.testing.assert_close(found[name], tensor.detach(), rtol=tolerance, atol=tolerance)


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@pytest.mark.parametrize("foreach", [False, True])
def test_sgd_equals_torch_to_the_last_bit(momentum: float, weight_decay: float, foreach: bool) -> None:
    training = Training(momentum=momentum, weight_decay=weight_decay, batch_size=8, epochs=3)
    module, examples = network(), examples_of(30)
    parameters, _, result = trained(module, examples, training)
    twin = copy.deepcopy(module)
    optimizer = torch.optim.SGD(twin.parameters(), 0.1, momentum, weight_decay=weight_decay, foreach=foreach)
    loss = plain_loop(twin, examples, training, optimizer)
    agree(parameters, twin, 0.0)
    assert result == LocalResult(pytest.approx(loss, rel=1e-6), 90, 12)  # type: ignore[arg-type]


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adam_equals_torch(name: str, weight_decay: float) -> None:
    training = Training(optimizer=name, weight_decay=weight_decay, batch_size=8, epochs=3)
    module, examples = network(), examples_of(30)
    parameters, _, _ = trained(module, examples, training, lr=0.01)
    twin = copy.deepcopy(module)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    plain_loop(twin, examples, training, kind(twin.parameters(), lr=0.01, weight_decay=weight_decay))
    agree(parameters, twin, 1e-6)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_equals_torch_where_gradients_lie_otherwise_in_memory(name: str) -> None:
    """Behind our pooling a convolution's gradient is in the channels-last layout; that of a sum is one number."""
    training = Training(optimizer=name, batch_size=8, epochs=2)
    module, examples = CNN((1, 8, 8), 3, channels=(4, 3), kernel_size=3, hidden=5), examples_of(20, shape=(1, 8, 8))
    twin = copy.deepcopy(module)
    parameters, _, _ = trained(module, examples, training, lr=0.01, extra_loss=lambda own, _: own["conv1.bias"].sum())
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    optimizer = kind(twin.parameters(), lr=0.01, weight_decay=0.0, fused=False)
    generator = torch_generator(0, "batches")
    for _ in range(2):
        for chosen in torch.split(torch.randperm(20, generator=generator), 8):
            features, labels = examples.batch(chosen)
            optimizer.zero_grad()
            loss = cross_entropy(twin(features), labels) + twin.get_parameter("conv1.bias").sum()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    agree(parameters, twin, 1e-5)


@pytest.mark.parametrize("name", ["sgd", "adam"])
@pytest.mark.parametrize("clip_norm", [0.05, 0.4, 100.0])
def test_clipping_equals_torch(name: str, clip_norm: float) -> None:
    training = Training(optimizer=name, clip_norm=clip_norm, batch_size=8, epochs=2)
    module, examples = network(), examples_of(30)
    parameters, _, _ = trained(module, examples, training, lr=0.01)
    twin = copy.deepcopy(module)
    kinds: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    rest = {"momentum": 0.9} if name == "sgd" else {}
    plain_loop(twin, examples, training, kinds[name](twin.parameters(), lr=0.01, **rest))
    agree(parameters, twin, 1e-6)


def test_clipping_measures_large_gradients_rightly() -> None:
    gradients = [torch.full((3_000_000,), 0.1), torch.zeros(2)]
    exact = 0.1 * math.sqrt(3_000_000)
    scaled = clipped(gradients, 1.0)
    assert scaled[0][0].item() == pytest.approx(0.1 / exact, rel=1e-6)
    assert torch.equal(gradients[0][:1], torch.tensor([0.1]))
    assert torch.equal(clipped([torch.zeros(3)], 1.0)[0], torch.zeros(3))


def test_the_module_keeps_its_own_tensors_and_mode() -> None:
    module = network(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).eval()
    module[1].train()
    before = copy.deepcopy(module.state_dict())
    identities = [id(tensor) for tensor in (*module.parameters(), *module.buffers())]
    parameters, _, _ = trained(module, examples_of(20), Training(batch_size=5))
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert [id(tensor) for tensor in (*module.parameters(), *module.buffers())] == identities
    assert [part.training for part in module] == [False, True, False]
    assert not any(tensor.requires_grad or tensor.grad is not None for tensor in parameters.values())


def test_the_given_tensors_themselves_change() -> None:
    module = network()
    parameters, buffers = split_state(module)
    leaves = {name: tensor.requires_grad_() for name, tensor in parameters.items()}
    addresses = {name: tensor.data_ptr() for name, tensor in leaves.items()}
    training = Training(optimizer="adam")
    learner = EndToEnd(Network(module, leaves, buffers), training, 0.1)
    train_locally(learner, examples_of(9), training, generator=torch_generator(0, "batches"))
    assert {name: tensor.data_ptr() for name, tensor in leaves.items()} == addresses
    assert all(tensor.requires_grad and tensor.grad is None for tensor in leaves.values())
    assert all(not torch.equal(leaves[name], own) for name, own in module.named_parameters())


def test_same_generator_same_weights() -> None:
    module, examples, training = network(), examples_of(40), Training(batch_size=7, epochs=2)
    first, again, other = (trained(module, examples, training, seed=seed)[0]["0.weight"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def drawn(count: int, size: int, smallest: int = 1, **changes: Any) -> list[list[int]]:
    training = Training(batch_size=size, **changes)
    return [chosen.tolist() for chosen in positions(count, training, torch_generator(0, "batches"), smallest)]


@pytest.mark.parametrize("smallest", [1, 2])
@pytest.mark.parametrize(("count", "size"), [(10, 3), (9, 3), (2, 5), (1, 4), (3, 1), (7, 2)])
def test_an_epoch_visits_every_example_once(count: int, size: int, smallest: int) -> None:
    one, two = drawn(count, size, smallest), drawn(count, size, smallest, epochs=2)
    assert sorted(chain(*one)) == list(range(count))
    assert two[: len(one)] == one
    assert sorted(chain(*two[len(one) :])) == list(range(count))
    if count > size > 1:
        assert min(len(chosen) for chosen in one) >= smallest


@pytest.mark.parametrize(
    ("count", "size", "changes", "lengths"),
    [
        (10, 3, {}, [3, 3, 3, 1]),
        (10, 3, {"epochs": 0.5}, [3, 3]),
        (10, 3, {"epochs": 2.5}, [3, 3, 3, 1, 3, 3, 3, 1, 3, 3]),
        (10, 3, {"epochs": 0.01}, [3]),
        (10, 3, {"steps": 1, "epochs": 5}, [3]),
        (10, 3, {"steps": 6}, [3, 3, 3, 1, 3, 3]),
        (2, 5, {"steps": 3}, [2, 2, 2]),
    ],
)
def test_fractions_of_epochs_and_steps(count: int, size: int, changes: dict[str, Any], lengths: list[int]) -> None:
    assert [len(chosen) for chosen in drawn(count, size, **changes)] == lengths
    _, _, result = trained(network(), examples_of(count), Training(batch_size=size, **changes))
    assert (result.examples_seen, result.steps) == (sum(lengths), len(lengths))


def test_a_lone_last_example_joins_the_batch_before() -> None:
    assert [len(chosen) for chosen in drawn(10, 3, smallest=2)] == [3, 3, 4]
    assert [len(chosen) for chosen in drawn(11, 3, smallest=2)] == [3, 3, 3, 2]


@pytest.mark.parametrize(("count", "size"), [(9, 4), (1, 4), (4, 1)])
def test_batch_norm_survives_lone_examples(count: int, size: int) -> None:
    module = network(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    _, buffers, result = trained(module, examples_of(count), Training(batch_size=size))
    assert math.isfinite(result.loss)
    assert result.examples_seen == count
    # Statistics of a single example mean nothing: the running ones are used and stay.
    assert (buffers["1.num_batches_tracked"] == 0) == (min(count, size) == 1)


def test_batch_norm_statistics_are_updated_like_the_modules_own() -> None:
    module = network(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3))
    examples, training = examples_of(24), Training(batch_size=8, epochs=2)
    parameters, buffers, _ = trained(module, examples, training)
    twin = copy.deepcopy(module)
    plain_loop(twin, examples, training, torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9))
    agree(parameters, twin, 0.0)
    for name, tensor in twin.named_buffers():
        assert torch.equal(buffers[name], tensor), name


class Counting(nn.Module):
    """Replaces its buffer instead of changing it."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1
        result: Tensor = self.linear(x)
        return result


def test_a_replaced_buffer_is_written_back() -> None:
    module = Counting()
    parameters, buffers = split_state(module)
    given, training = buffers["calls"], Training(batch_size=2)
    learner = EndToEnd(Network(module, parameters, buffers), training, 0.1)
    train_locally(learner, examples_of(6), training, generator=torch_generator(0, "b"))
    assert buffers["calls"] is given
    assert given.item() == 3
    assert module.calls.item() == 0


def test_dropout_follows_the_global_generator() -> None:
    module = network(nn.Linear(6, 16), nn.Dropout(0.5), nn.Linear(16, 3)).eval()
    found = []
    for seed in (1, 1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            found.append(trained(module, examples_of(20), Training())[0]["0.weight"])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_tied_weights_train_as_one() -> None:
    def tied() -> nn.Sequential:
        module = network(nn.Linear(6, 6, bias=False), nn.Tanh(), nn.Linear(6, 6, bias=False), nn.Linear(6, 3))
        module[2].weight = module[0].weight
        return module

    examples, training = examples_of(20), Training(batch_size=5)
    parameters, _, _ = trained(tied(), examples, training)
    twin = tied()
    plain_loop(twin, examples, training, torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9))
    agree(parameters, twin, 0.0)


def test_frozen_parameters_stay() -> None:
    module = network()
    module[0].requires_grad_(False)
    parameters, _, _ = trained(module, examples_of(20), Training(weight_decay=0.1))
    assert torch.equal(parameters["0.weight"], split_state(module)[0]["0.weight"])
    assert not torch.equal(parameters["2.weight"], split_state(module)[0]["2.weight"])


class Detour(nn.Module):
    """Owns a layer that the forward pass leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(6, 3)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.used(x)
        return result


def test_a_layer_outside_the_forward_pass_has_gradient_zero() -> None:
    module = Detour()
    parameters, _, _ = trained(module, examples_of(8), Training())
    assert torch.equal(parameters["unused.weight"], module.unused.weight)


def three_weights() -> tuple[nn.Module, Examples]:
    """Two classes, logits w·x and 0 from weights w = (1, 2, −1) on a single example."""
    module = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.0, 0.0]]))
    features = torch.tensor([[0.5, -1.0, 2.0]])
    return module, Examples(features, torch.tensor([0]), torch.tensor([0]), torch.tensor(1.0), torch.tensor(0.0))


def test_one_step_with_a_proximal_term_by_hand() -> None:
    module, examples = three_weights()
    reference = {"weight": torch.tensor([[0.0, 2.0, 1.0], [0.0, 0.0, 0.0]])}
    mu, lr = 0.4, 0.1

    def proximal(parameters: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> Tensor:
        return mu / 2 * (parameters["weight"] - start["weight"]).square().sum()

    parameters, _, result = trained(
        module, examples, Training(momentum=0.0), lr=lr, extra_loss=proximal, reference=reference
    )
    # Logits (0.5 − 2 − 2, 0) = (−3.5, 0); dCE/dz₀ = softmax₀ − 1 = −σ(3.5).
    slope = -1 / (1 + math.exp(-3.5))
    expected = [
        1.0 - lr * (slope * 0.5 + mu * (1.0 - 0.0)),
        2.0 - lr * (slope * -1.0 + mu * (2.0 - 2.0)),
        -1.0 - lr * (slope * 2.0 + mu * (-1.0 - 1.0)),
    ]
    assert parameters["weight"][0].tolist() == pytest.approx(expected, rel=1e-6)
    assert result.loss == pytest.approx(math.log(1 + math.exp(3.5)), rel=1e-6)


def test_adjusting_gradients_by_hand_and_before_clipping() -> None:
    module, examples = three_weights()

    def shift(gradients: dict[str, Tensor], parameters: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> None:
        assert torch.equal(parameters["weight"], start["weight"])
        gradients["weight"].zero_()
        gradients["weight"][1, 1] += 4.0

    parameters, _, _ = trained(module, examples, Training(momentum=0.0), lr=0.5, adjust_gradients=shift)
    assert parameters["weight"].tolist() == [[1.0, 2.0, -1.0], [0.0, -2.0, 0.0]]
    parameters, _, _ = trained(module, examples, Training(momentum=0.0, clip_norm=1.0), lr=0.5, adjust_gradients=shift)
    assert parameters["weight"][1].tolist() == pytest.approx([0.0, -0.5, 0.0], rel=1e-5)


def test_an_extra_loss_of_none_changes_nothing() -> None:
    plain = trained(network(), examples_of(20), Training())[0]
    hooked = trained(network(), examples_of(20), Training(), extra_loss=lambda *_: None)[0]
    assert all(torch.equal(plain[name], hooked[name]) for name in plain)


def test_augmentation_sees_normalised_features_and_the_generator() -> None:
    examples = examples_of(6)
    seen: list[Tensor] = []

    def noise(features: Tensor, generator: torch.Generator) -> Tensor:
        seen.append(features.clone())
        return features + torch.randn(features.shape, generator=generator)

    first = trained(network(), examples, Training(), augment=noise)[0]
    again = trained(network(), examples, Training(), augment=noise)[0]
    assert torch.equal(first["0.weight"], again["0.weight"])
    everything = examples.batch(torch.arange(6))[0]
    torch.testing.assert_close(seen[0].sort(0).values, everything.sort(0).values)
    assert not torch.equal(first["0.weight"], trained(network(), examples, Training())[0]["0.weight"])


def test_divergence_is_not_hidden() -> None:
    examples = examples_of(20)
    examples.features.fill_(math.inf)
    assert math.isnan(trained(network(), examples, Training(batch_size=5))[2].loss)


# Networks of words learn in tests/data, where there are words.
@pytest.mark.parametrize(
    "name",
    sorted({path.stem for path in MODEL_FOLDER.glob("*.yaml")} - {"custom", "token_attention", "playerfl_text"}),
)
def test_every_model_learns_a_batch(name: str) -> None:
    model = yaml.safe_load((MODEL_FOLDER / f"{name}.yaml").read_text())
    small: dict[str, Any] = {"width": 8, "groups": 4} if "resnet" in name else {}
    if "playerfl" in name and name != "playerfl_heart":
        small = {"channels": [8] * len(model["channels"])}
    if "dropout" in model:
        small["dropout"] = 0
    # Which learner it brings is for a run to compose.
    model.pop("defaults", None)
    module = build_model({**model, **small}, (1, 8, 8), 3, seed=0)
    examples = examples_of(12, (1, 8, 8))
    parameters, buffers, _ = trained(module, examples, Training(optimizer="adam", steps=25), lr=0.01)
    features, labels = examples.batch(torch.arange(12))
    before = cross_entropy(module(features), labels)
    load_state(module, parameters, buffers)
    module.train(mode="bn" in name)
    assert cross_entropy(module(features), labels) < 0.7 * before


def test_no_examples_and_nothing_to_train_are_refused() -> None:
    with pytest.raises(UserError, match="examples must be at least one to train on, got 0; leave out clients"):
        trained(network(), examples_of(0), Training())
    with pytest.raises(UserError, match="model must have parameters that require gradients, got none in Sequential"):
        trained(network().requires_grad_(False), examples_of(3), Training())


def test_names_of_another_model_are_refused() -> None:
    parameters, buffers = split_state(network())
    given = Network(network(), {**parameters, "other": torch.zeros(1)}, buffers)
    learner = EndToEnd(given, Training(), 0.1)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        train_locally(learner, examples_of(3), Training(), generator=torch_generator(0, "batches"))
