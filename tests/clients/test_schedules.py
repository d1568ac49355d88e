"""Learning rates: closed forms, and torch's own schedulers step by step."""

import copy
import math
import warnings
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LinearLR, LRScheduler, SequentialLR, StepLR

from clients.learners.end_to_end import EndToEnd
from clients.network import Network
from clients.schedules import Rate, mean_rate, scheduled
from clients.training import train_locally
from fedlayers.config.schema.training import Training
from fedlayers.core.errors import UserError
from fedlayers.core.schedule import Step
from fedlayers.core.seeding import torch_generator
from fedlayers.core.weights import split_state
from tests.clients.test_training import agree, examples_of, network


def by_round(rounds: int = 5, **changes: Any) -> list[Rate]:
    training = Training(lr=0.8, schedule_factor=0.5, **changes)
    return [scheduled(training, server_round, rounds) for server_round in range(1, 6)]


def by_step(steps: int, rounds: int = 1, **changes: Any) -> list[float]:
    training, found = Training(lr=0.8, schedule_factor=0.5, schedule_by="step", **changes), []
    for server_round in range(1, rounds + 1):
        rate = scheduled(training, server_round, rounds)
        assert callable(rate)
        found += [rate(Step(number, steps, steps)) for number in range(1, steps + 1)]
    return found


def of_torch(count: int, warmup: int, make: Any) -> list[float]:
    """Return what an optimizer of torch's has as learning rate before each step."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.8)
    scheduler = with_warmup(optimizer, warmup, make)
    found = []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def with_warmup(optimizer: torch.optim.Optimizer, warmup: int, make: Any) -> LRScheduler:
    main: LRScheduler = make(optimizer)
    if not warmup:
        return main
    rising = LinearLR(optimizer, 1 / warmup, 1.0, total_iters=warmup - 1)
    with warnings.catch_warnings():
        # torch warns of its own use of a deprecated argument.
        warnings.simplefilter("ignore")
        return SequentialLR(optimizer, [rising, main], [warmup])


def test_schedules_in_closed_form() -> None:
    assert by_round() == [0.8] * 5
    assert by_round(schedule="step", schedule_rounds=2) == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.2])
    assert by_round(schedule="exponential") == pytest.approx([0.8, 0.4, 0.2, 0.1, 0.05])
    found = by_round(schedule="exponential", schedule_rounds=4)
    assert (found[1], found[4]) == pytest.approx((0.8 * 0.5**0.25, 0.4))
    cosine = [0.4 * (1 + math.cos(math.pi * r / 4)) for r in range(5)]
    assert by_round(rounds=4, schedule="cosine") == pytest.approx(cosine)
    assert by_round(rounds=99, schedule="cosine", schedule_rounds=2) == pytest.approx([0.8, 0.4, 0.0, 0.0, 0.0])


def test_warm_up_rises_evenly_and_the_schedule_follows() -> None:
    assert by_round(warmup=4) == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])
    assert by_round(warmup=2, schedule="step", schedule_rounds=2) == pytest.approx([0.4, 0.8, 0.8, 0.8, 0.4])
    # The cosine's rounds include the warm-up: 0 after all of them.
    assert by_round(rounds=4, warmup=2, schedule="cosine") == pytest.approx([0.4, 0.8, 0.8, 0.4, 0.0])
    assert by_round(warmup=9) == pytest.approx([0.8 * (t + 1) / 9 for t in range(5)])


@pytest.mark.parametrize("warmup", [0, 1, 7])
@pytest.mark.parametrize(
    ("changes", "make"),
    [
        ({"schedule": "cosine"}, lambda o, w: CosineAnnealingLR(o, 40 - w)),
        ({"schedule": "cosine", "schedule_steps": 60}, lambda o, w: CosineAnnealingLR(o, 60 - w)),
        ({"schedule": "step", "schedule_steps": 9}, lambda o, w: StepLR(o, 9, 0.5)),
        ({"schedule": "exponential", "schedule_steps": 8}, lambda o, w: ExponentialLR(o, 0.5 ** (1 / 8))),
        ({}, lambda o, w: LinearLR(o, 1.0)),
    ],
    ids=["cosine", "cosine of 60", "step", "exponential", "constant"],
)
def test_rates_by_step_are_those_of_torch(warmup: int, changes: dict[str, Any], make: Any) -> None:
    expected = of_torch(40, warmup, lambda optimizer: make(optimizer, warmup))
    assert by_step(40, warmup=warmup, **changes) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    # The same steps in rounds: the schedule goes on across them.
    assert by_step(8, rounds=5, warmup=warmup, **changes) == by_step(40, warmup=warmup, **changes)


def test_an_exponential_by_step_falls_as_much_in_a_round_as_by_round() -> None:
    assert by_step(4, rounds=5, schedule="exponential")[::4] == pytest.approx(by_round(schedule="exponential"))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_one_long_training_is_that_of_torch(optimizer: str) -> None:
    training = Training(
        optimizer=optimizer, lr=0.02, weight_decay=0.1, batch_size=8, epochs=10, schedule="cosine", schedule_by="step",
        warmup=7,
    )  # fmt: skip
    module, examples = network(), examples_of(30)
    found = Network(module, *split_state(module))
    learner = EndToEnd(found, training, scheduled(training, 1, 1))
    train_locally(learner, examples, training, generator=torch_generator(0, "batches"))
    twin, generator = copy.deepcopy(module), torch_generator(0, "batches")
    kinds: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    rest = {"momentum": 0.9} if optimizer == "sgd" else {}
    own = kinds[optimizer](twin.parameters(), lr=0.02, weight_decay=0.1, **rest)
    scheduler = with_warmup(own, 7, lambda o: CosineAnnealingLR(o, 40 - 7))
    for _ in range(10):
        for chosen in torch.split(torch.randperm(30, generator=generator), 8):
            features, labels = examples.batch(chosen)
            own.zero_grad()
            cross_entropy(twin(features), labels).backward()  # type: ignore[no-untyped-call]
            own.step()
            scheduler.step()
    agree(found.parameters, twin, 1e-5)


def test_the_mean_rate_of_a_round() -> None:
    assert mean_rate(0.3, 7) == 0.3
    rate = scheduled(Training(lr=0.8, warmup=4, schedule_by="step"), 1, 1)
    assert mean_rate(rate, 4) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"schedule": "step"}, r"schedule_rounds must be 1 or more with training\.schedule=step, got None"),
        ({"schedule": "step", "schedule_by": "step"}, r"schedule_steps must be 1 or more with .*=step, got None"),
        (
            {"schedule": "cosine", "schedule_rounds": 5, "warmup": 5},
            r"schedule_rounds must be more than training.warmup=5",
        ),
        (
            {"schedule": "cosine", "schedule_steps": 5, "warmup": 6, "schedule_by": "step"},
            r"schedule_steps must be more than training.warmup=6, which it includes, got 5",
        ),
        ({"schedule_by": "epoch"}, "training.schedule_by must be one of round, step, got 'epoch'"),
        ({"warmup": -1}, "training.warmup must be 0 or more, got -1"),
        ({"optimizer_state": "kept"}, "training.optimizer_state must be one of fresh, carried, got 'kept'"),
    ],
)
def test_what_a_schedule_cannot_be_is_told(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=text):
        Training(**changes)
