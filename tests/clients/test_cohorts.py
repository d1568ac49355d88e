"""Clients that train as one have the results of each by itself, whoever they share a cohort with."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clients.cohorts.jobs import TrainingJob
from clients.cohorts.training import train_together as jobs_done
from clients.learners.base import Hooks
from clients.learners.end_to_end import EndToEnd
from clients.network import Network
from clients.obedience import proximal_term
from clients.observers import Observer, View
from clients.schedules import scheduled
from clients.training import LocalResult
from fedlayers.config.schema.training import Training
from fedlayers.core.cohorts.meeting import Alone, meet, side_by_side
from fedlayers.core.cohorts.stacked import stacked_outputs
from fedlayers.core.federation import Examples
from fedlayers.core.seeding import global_state, torch_generator
from fedlayers.core.weights import split_state
from fedlayers.models.cnn import CNN
from fedlayers.objectives.cross_entropy import CROSS_ENTROPY, CrossEntropy
from fedlayers.objectives.objective import Objective, ObjectiveError
from tests.support.metric_views import where

COUNTS = (20, 7, 1, 30, 16)
pytestmark = pytest.mark.usefixtures("device")


@dataclass(frozen=True)
class Rows:
    """Examples in memory, in double precision, in arrays of their own."""

    features: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        return self.features[positions], self.labels[positions]

    def targets(self, positions: Tensor | None = None) -> Tensor:
        labels = self.labels if positions is None else self.labels[positions]
        return labels.cpu()


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.ReLU(), nn.Linear(9, 3))


def cnn() -> nn.Module:
    return CNN((1, 8, 8), 3, channels=(2, 3), kernel_size=3, hidden=5)


def normed() -> nn.Module:
    """Has group and layer normalisation, a buffer that stays, a weight that is not trained and one that is not used."""
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.LayerNorm(144))
    module.append(nn.Linear(144, 3))
    module.register_buffer("still", torch.ones(2))
    module.register_parameter("unused", nn.Parameter(torch.ones(3)))
    module[0].bias.requires_grad_(False)
    return module


def examples_of(count: int, seed: int) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, 1, 8, 8, generator=generator, dtype=torch.float64)
    return Rows(features, torch.randint(3, (count,), generator=generator))


@dataclass
class Seen(Observer):
    """Writes down what it may look at."""

    numbers: list[int] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)

    def on_start(self, view: View) -> None:
        self.look(view)

    def on_batch(self, view: View) -> None:
        self.look(view)

    def look(self, view: View) -> None:
        self.numbers.append(view.step.number)
        parts = [*view.weights.values(), *view.gradients.values()] + ([] if view.loss is None else [view.loss])
        self.values.append(torch.cat([part.flatten().clone() for part in parts]))


def train_together(jobs: Sequence[TrainingJob]) -> list[LocalResult | Exception]:
    """Return what each of some clients that meet comes to."""
    return [found.work() if isinstance(found, Alone) else found for found in jobs_done(jobs)]


HookMaker = Callable[[int, Mapping[str, Tensor]], Hooks]


def no_hooks(client: int, start: Mapping[str, Tensor]) -> Hooks:
    return Hooks()


def own_hooks(client: int, start: Mapping[str, Tensor]) -> Hooks:
    """A loss and a change of gradients that differ from client to client, as in SCAFFOLD, once replaced by name."""
    control = {name: torch.full_like(tensor, 0.01 * client) for name, tensor in start.items()}

    def loss(parameters: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> Tensor | None:
        return None if client == 1 else proximal_term(0.1 * client, dict(parameters), reference)

    def adjust(gradients: dict[str, Tensor], parameters: Mapping[str, Tensor], _: Mapping[str, Tensor]) -> None:
        for place, (name, gradient) in enumerate(gradients.items()):
            gradient.add_(control[name])
            if place == 1:
                gradients[name] = gradient + 0.1 * parameters[name]

    return Hooks({name: 0.5 * tensor for name, tensor in start.items()}, loss, adjust)


def same_hooks(client: int, start: Mapping[str, Tensor]) -> Hooks:
    """A proximal term that is one for all."""
    reference = {name: (1 + client) * tensor for name, tensor in start.items()}
    return Hooks(reference, lambda new, old: proximal_term(0.3, dict(new), old), adds_up="proximal")


def job(
    client: int,
    module: nn.Module,
    training: Training,
    hooks: HookMaker = no_hooks,
    counts: Sequence[int] = COUNTS,
    objective: Objective = CROSS_ENTROPY,
    device: str | None = None,
    **arguments: Any,
) -> TrainingJob:
    """Return a client's training, on the test's device without recorded steps unless another device is asked for."""
    training = training if device or where[0].type == "cpu" else replace(training, graphs="off")
    weights, buffers = split_state(module.to(device or where[0]))
    weights = {name: tensor * (1 + 0.1 * client) for name, tensor in weights.items()}
    learner = EndToEnd(
        Network(module, weights, buffers), training, 0.1, hooks=hooks(client, weights), objective=objective
    )
    generator = torch_generator(0, "batches", 1, client)
    examples = examples_of(counts[client], client)
    return TrainingJob(learner, examples, training, generator, device=device or where[0], **arguments)


def weights_after(found: TrainingJob) -> dict[str, Tensor]:
    return dict(found.learner.networks[0].parameters)


def assert_alike(one: TrainingJob, other: TrainingJob, results: Sequence[Any], rtol: float = 1e-10) -> None:
    """Check that two trainings of a client came to the same, but for rounding."""
    for (name, tensor), own in zip(weights_after(one).items(), weights_after(other).values(), strict=True):
        torch.testing.assert_close(tensor, own, rtol=rtol, atol=rtol, msg=lambda text: f"{name}: {text}")  # noqa: B023
    first, second = results
    assert isinstance(first, LocalResult) and isinstance(second, LocalResult), results
    assert (first.examples_seen, first.steps) == (second.examples_seen, second.steps)
    assert first.loss == pytest.approx(second.loss, rel=rtol)
    for mine, others in zip(one.observers, other.observers, strict=True):
        assert isinstance(mine, Seen) and isinstance(others, Seen)
        assert mine.numbers == others.numbers
        torch.testing.assert_close(mine.values, others.values, rtol=rtol, atol=rtol)


SETTINGS = {
    "sgd": Training(batch_size=8, epochs=3, momentum=0.9, weight_decay=0.1),
    "plain sgd": Training(batch_size=64, epochs=2, momentum=0.0),
    "adam": Training(optimizer="adam", batch_size=8, epochs=2, weight_decay=0.1),
    "adamw": Training(optimizer="adamw", batch_size=8, epochs=2, weight_decay=0.1),
    "clipped": Training(batch_size=8, epochs=2, clip_norm=0.3),
    "half an epoch": Training(batch_size=4, epochs=0.5),
    "steps": Training(batch_size=8, steps=5),
    "single examples": Training(batch_size=1, steps=3),
}


@pytest.mark.parametrize("make", [mlp, cnn, normed])
@pytest.mark.parametrize("name", SETTINGS)
def test_as_one_they_come_to_the_same_as_each_alone(make: Callable[[], nn.Module], name: str) -> None:
    module = make().double()
    alone = [job(client, module, SETTINGS[name], observers=[Seen()]) for client in range(5)]
    together = [job(client, module, SETTINGS[name], observers=[Seen()]) for client in range(5)]
    results = [one.done_alone() for one in alone]
    for one, other, *both in zip(alone, together, results, train_together(together), strict=True):
        assert_alike(one, other, both)
        assert getattr(both[1], "remark", None) == ""


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_optimizers_go_on_from_what_each_client_remembers(optimizer: str) -> None:
    """Two rounds, in the first of which two clients did not train; the learning rate is each step's own."""
    training = Training(optimizer=optimizer, batch_size=8, epochs=2, optimizer_state="carried", weight_decay=0.1)
    module, rate = mlp().double(), scheduled(replace(training, schedule="cosine", schedule_by="step"), 1, 2)

    def rounds(train: Callable[[Sequence[TrainingJob]], Sequence[Any]]) -> tuple[list[TrainingJob], Sequence[Any]]:
        jobs = [job(client, module, training) for client in range(5)]
        for one in jobs:
            assert isinstance(one.learner, EndToEnd)
            one.learner.lr = rate
        train(jobs[1:4])
        again = [replace(one, generator=torch_generator(0, "batches", 2, client)) for client, one in enumerate(jobs)]
        return again, train(again)

    alone, first = rounds(lambda jobs: [one.done_alone() for one in jobs])
    together, second = rounds(train_together)
    for one, other, *both in zip(alone, together, first, second, strict=True):
        assert_alike(one, other, both)
        mine, others = one.learner.state(), other.learner.state()
        assert mine.keys() == others.keys() and mine
        assert all(torch.allclose(tensor, others[name].to(tensor)) for name, tensor in mine.items())


class Centred(Objective):
    """Sees the whole batch; NaN where a label is 2 and the client's outputs are large."""

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return (outputs - outputs.mean(0)).square().sum(1) + torch.log(labels.double() + 0.5)


class Scalar(Objective):
    """Returns a mean."""

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return outputs.mean()


@pytest.mark.parametrize("objective", [Centred(), CrossEntropy(label_smoothing=0.1, class_weights=[1.0, 2.0, 0.5])])
def test_objectives_are_each_clients_own(objective: Objective) -> None:
    module, training = mlp().double(), Training(batch_size=8, epochs=2)
    alone, together = ([job(client, module, training, objective=objective) for client in range(5)] for _ in range(2))
    results = [one.done_alone() for one in alone]
    for one, other, *both in zip(alone, together, results, train_together(together), strict=True):
        assert_alike(one, other, both)


def test_an_objective_without_a_loss_for_each_example_names_the_step() -> None:
    module = mlp().double()
    with pytest.raises(ObjectiveError, match=r"Scalar must give one loss for each example.* at step 1"):
        train_together([job(client, module, Training(), objective=Scalar()) for client in range(2)])


def test_nan_is_the_fault_of_the_client_whose_it_is() -> None:
    class Logarithm(Centred):
        def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
            return outputs.sum(1) + torch.tensor(len(labels) - 8.0).sqrt()

    module, training = mlp().double(), Training(batch_size=8, epochs=1)
    found = train_together([job(c, module, training, counts=(16, 20, 8), objective=Logarithm()) for c in range(3)])
    assert isinstance(found[0], LocalResult) and isinstance(found[2], LocalResult)
    assert "must give numbers for outputs that are numbers, got NaN at step 3" in str(found[1])


@pytest.mark.parametrize("hooks", [own_hooks, same_hooks])
def test_hooks_of_algorithms_are_each_clients_own(hooks: HookMaker) -> None:
    module, training = cnn().double(), Training(batch_size=8, epochs=2, clip_norm=1.0)
    alone = [job(client, module, training, hooks) for client in range(5)]
    together = [job(client, module, training, hooks) for client in range(5)]
    results = [one.done_alone() for one in alone]
    for one, other, *both in zip(alone, together, results, train_together(together), strict=True):
        assert_alike(one, other, both)


def test_who_shares_a_cohort_and_in_which_order_changes_rounding_alone() -> None:
    module, training = mlp().double(), Training(batch_size=8, epochs=3)
    alone = job(0, module, training).done_alone()

    def beside(*others: int) -> tuple[TrainingJob, object]:
        jobs = [job(client, module, training) for client in others]
        return jobs[others.index(0)], train_together(jobs)[others.index(0)]

    first, _ = beside(0, 1, 2)
    for others in ((2, 0), (4, 3, 2, 1, 0), (3, 0, 3)):
        other, found = beside(*others)
        assert_alike(first, other, (alone, found))
    again, _ = beside(0, 1, 2)
    assert all(torch.equal(tensor, weights_after(again)[name]) for name, tensor in weights_after(first).items())


def test_batches_come_from_one_array_with_each_clients_own_numbers() -> None:
    """Bytes and rows that each client normalises by itself; and augmented ones, drawn step by step."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(256, (40, 1, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.randint(3, (40,), generator=generator)

    def examples(client: int, own: bool) -> Examples:
        scale = torch.tensor([1 / 255 if not own else (1 + client) / 255])
        index = torch.randperm(40, generator=torch.Generator().manual_seed(client))[: COUNTS[client]]
        return Examples(images, labels, index, scale, torch.tensor([-0.5]))

    def flipped(features: Tensor, generator: torch.Generator) -> Tensor:
        return features * torch.randint(2, (len(features), 1, 1, 1), generator=generator)

    training = Training(batch_size=8, epochs=2)
    for own in (False, True):
        for augment in (None, flipped):
            jobs = [
                [replace(job(c, mlp(), training, augment=augment), examples=examples(c, own)) for c in range(5)]
                for _ in range(2)
            ]
            for tensors in zip(
                *(one.learner.networks[0].parameters.values() for one in jobs[0] + jobs[1]), strict=True
            ):
                for tensor in tensors:
                    tensor.copy_(tensors[0])
            results = [one.done_alone() for one in jobs[0]]
            for one, other, *both in zip(*jobs, results, train_together(jobs[1]), strict=True):
                assert_alike(one, other, both, rtol=1e-5)


def test_what_differs_is_not_stacked() -> None:
    module, training = mlp().double(), Training(batch_size=8)
    others = [
        job(0, module, training),
        job(1, module, replace(training, momentum=0.0)),
        job(2, nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).double(), training),
    ]
    alone = [
        job(0, module, training),
        job(1, module, replace(training, momentum=0.0)),
        job(2, others[2].learner.networks[0].module, training),
    ]
    results = [one.done_alone() for one in alone]
    for one, other, *both in zip(alone, others, results, train_together(others), strict=True):
        assert_alike(one, other, both, rtol=0)


class Stateful(nn.Module):
    """Counts its steps in a buffer; in place, or by a new one."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 3)
        self.steps: Tensor
        self.register_buffer("steps", torch.zeros(()))
        self.in_place = in_place

    def forward(self, features: Tensor) -> Tensor:
        self.steps = self.steps.add_(1) if self.in_place else self.steps + 1
        outputs: Tensor = self.linear(features.flatten(1))
        return outputs


class Mixing(nn.Module):
    """Its outputs for an example depend on the others of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 3)

    def forward(self, features: Tensor) -> Tensor:
        outputs: Tensor = self.linear(features.flatten(1))
        return outputs - outputs.mean(0)


class Branching(Mixing):
    """Looks at numbers."""

    def forward(self, features: Tensor) -> Tensor:
        outputs: Tensor = self.linear(features.flatten(1))
        return outputs if outputs.sum() > 0 else -outputs


class Recurrent(Mixing):
    """What vmap knows nothing of."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.GRU(8, 8, batch_first=True)

    def forward(self, features: Tensor) -> Tensor:
        outputs: Tensor = self.linear(self.rows(features.squeeze(1))[0].flatten(1))
        return outputs


def flat(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), layer, nn.Linear(64, 3))


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "batch norm": (lambda: flat(nn.BatchNorm1d(64)), "has batch normalisation"),
    "dropout": (lambda: flat(nn.Dropout(0.5)), "has dropout"),
    "buffers": (lambda: Stateful(True), "buffers change in training"),
    "new buffers": (lambda: Stateful(False), "buffers change in training"),
    "mixing": (Mixing, "depend on the others of its batch"),
    "branching": (Branching, "a stacked step of Branching fails"),
    "recurrent": (Recurrent, "a stacked step of Recurrent fails"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_stacked_trains_one_by_one_and_says_so(name: str) -> None:
    make, text = REFUSED[name]
    module, training, counts = make().double(), Training(batch_size=8), (20, 7, 9)
    alone = [job(client, module, training, counts=counts) for client in range(3)]
    together = [job(client, module, training, counts=counts) for client in range(3)]
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}

    def results(train: Callable[[], Sequence[Any]]) -> Sequence[Any]:
        torch.manual_seed(1)
        return train()

    first = results(lambda: [one.done_alone() for one in alone])
    second = results(lambda: train_together(together))
    for one, other, *both in zip(alone, together, first, second, strict=True):
        assert_alike(one, other, both, rtol=0)
        assert text in both[1].remark and "one by one" in both[1].remark
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_without_dropping_anything_dropout_can_be_stacked() -> None:
    module = flat(nn.Dropout(0.0)).double()
    results = train_together([job(client, module, Training()) for client in range(2)])
    assert [result.remark for result in results if isinstance(result, LocalResult)] == ["", ""]


def test_what_a_client_raises_is_its_own() -> None:
    module, training = mlp().double(), Training(batch_size=8, epochs=2)

    def failing(client: int, start: Mapping[str, Tensor]) -> Hooks:
        def loss(*_: Any) -> Tensor | None:
            if client == 1:
                raise ValueError("no loss today")
            return None

        def adjust(gradients: dict[str, Tensor], *_: Any) -> None:
            if client == 3:
                raise ValueError("no gradients")

        return Hooks({}, loss, adjust)

    class Breaking(Seen):
        def on_batch(self, view: View) -> None:
            raise ValueError("looked away")

    def jobs() -> list[TrainingJob]:
        return [job(c, module, training, failing, observers=[Breaking()] if c == 4 else []) for c in range(5)]

    found, alone = jobs(), jobs()
    outcomes = train_together(found)
    assert {c: str(one) for c, one in enumerate(outcomes) if isinstance(one, Exception)} == {
        1: "no loss today", 3: "no gradients", 4: "looked away",
    }  # fmt: skip
    for client in (0, 2):
        assert_alike(found[client], alone[client], (outcomes[client], alone[client].done_alone()))


@pytest.mark.parametrize("augmented", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
    ],
)
def test_what_does_not_fit_is_halved_in_mid_training(
    monkeypatch: pytest.MonkeyPatch, error: Exception, augmented: bool
) -> None:
    """Three clients fit at once, five do not; and from the third step on only two do."""
    import clients.cohorts.end_to_end as stacked

    calls, real = [0], stacked_outputs

    def outputs(module: nn.Module, parameters: Any, buffers: Any, features: Tensor) -> Tensor:
        calls[0] += 1
        if len(features) > (3 if calls[0] < 4 else 2):
            raise error
        return real(module, parameters, buffers, features)

    def noise(features: Tensor, generator: torch.Generator) -> Tensor:
        return features + torch.randn(features.shape, generator=generator)

    module, training = mlp().double(), Training(batch_size=8, epochs=2)
    alone, together = (
        [job(client, module, training, augment=noise if augmented else None) for client in range(5)] for _ in range(2)
    )
    results = [one.done_alone() for one in alone]
    monkeypatch.setattr(stacked, "stacked_outputs", outputs)
    for one, other, *both in zip(alone, together, results, train_together(together), strict=True):
        assert_alike(one, other, both)
        assert "did not fit into memory" in getattr(both[1], "remark", "")


def test_one_that_does_not_fit_by_itself_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    import clients.cohorts.end_to_end as stacked

    def outputs(*_: Any) -> Tensor:
        raise MemoryError("too much")

    module = mlp().double()
    train_together([job(client, module, Training()) for client in range(2)])
    monkeypatch.setattr(stacked, "stacked_outputs", outputs)
    with pytest.raises(MemoryError, match="too much"):
        train_together([job(client, module, Training()) for client in range(2)])


def test_hooks_and_observers_draw_their_own_clients_global_numbers() -> None:
    module, training = mlp().double(), Training(batch_size=8, epochs=2)

    def noisy(client: int, start: Mapping[str, Tensor]) -> Hooks:
        def adjust(gradients: dict[str, Tensor], *_: Any) -> None:
            for gradient in gradients.values():
                drawn = torch.randn(gradient.shape, dtype=gradient.dtype) + np.random.normal()
                gradient.add_(drawn.to(gradient.device))

        return Hooks({}, None, adjust)

    class Drawing(Seen):
        def look(self, view: View) -> None:
            self.values.append(torch.rand(1) + random.random())

    def work(one: TrainingJob, client: int) -> Callable[[], tuple[Any, list[Tensor]]]:
        def piece() -> tuple[Any, list[Tensor]]:
            with global_state(0, "client", 1, client):
                result = meet(one, jobs_done)
                return result, [torch.rand(2)]

        return piece

    alone, together = ([job(c, module, training, noisy, observers=[Drawing()]) for c in range(3)] for _ in range(2))
    first = [work(one, client)() for client, one in enumerate(alone)]
    second = side_by_side([work(one, client) for client, one in enumerate(together)])
    for one, other, mine, others in zip(alone, together, first, second, strict=True):
        assert_alike(one, other, (mine[0], others[0]))
        assert torch.equal(mine[1][0], others[1][0])
