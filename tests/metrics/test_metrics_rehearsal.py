"""One model's rehearsal of per-example formulas holds for others where their passes are the same, and only there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedlayers.core.layers import layers_of
from metrics.example_gradients.per_example import ExamplePass
from metrics.example_gradients.recorded_pass import recorded
from tests.support.metric_views import where

pytestmark = pytest.mark.usefixtures("device")

LABELS = torch.arange(7) % 3


def features(seed: int = 0, *shape: int) -> Tensor:
    return torch.randn(7, *(shape or (6,)), generator=torch.Generator().manual_seed(seed)).to(where[0])


def passed(module: nn.Module, known: dict[object, Any], x: Tensor | None = None) -> ExamplePass:
    x = features() if x is None else x
    return ExamplePass(module.eval().to(where[0]), layers_of(module), x, LABELS.to(where[0]), known=known)


@pytest.fixture
def rehearsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return what grows by one with every rehearsal."""
    found, rehearse = list[int](), ExamplePass._rehearse

    def counted(run: ExamplePass) -> None:
        found.append(1)
        rehearse(run)

    monkeypatch.setattr(ExamplePass, "_rehearse", counted)
    return found


def net(hidden: int = 5, last: Callable[[], nn.Module] = nn.Tanh) -> nn.Module:
    return nn.Sequential(nn.Linear(6, hidden), last(), nn.GroupNorm(1, hidden), nn.Linear(hidden, 3))


def assert_as_alone(module: nn.Module, run: ExamplePass, x: Tensor) -> None:
    """Assert that a pass gives, to the last byte, what one with a rehearsal of its own gives."""
    labels = LABELS.to(where[0])
    found, alone = run(x, labels), passed(module, {}, x)(x, labels)
    for one, other in ((found.sums, alone.sums), (found.squares, alone.squares)):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_other_weights_need_no_other_rehearsal(rehearsed: list[int]) -> None:
    known: dict[object, Any] = {}
    for _ in range(3):
        module = net()
        run = passed(module, known)
        assert not run.replayed and run.shapes["0"] == (5,)
        run(features(1), LABELS.to(where[0]))
    assert len(rehearsed) == 1
    assert_as_alone(module, run, features(2))


def test_another_model_or_other_examples_are_rehearsed_anew(rehearsed: list[int]) -> None:
    known: dict[object, Any] = {}
    wide = features(0, 4, 6)
    passed(net(), known)
    passed(net(hidden=4), known)  # other parameters
    passed(net(last=nn.ReLU), known)  # another module between the same ones
    passed(net().double(), known, features().double())
    passed(nn.Sequential(nn.Linear(6, 3), nn.Flatten(), nn.Linear(12, 3)), known, wide)
    passed(nn.Sequential(nn.Linear(6, 3), nn.Flatten(), nn.Linear(6, 3)), known, wide[:, :2])
    assert len(rehearsed) == 6 == len(known)


class Switched(nn.Module):
    """Does something else with equal modules, depending on an attribute or on its weights."""

    def __init__(self, by_hand: bool | None = None, gate: float = 1.0) -> None:
        super().__init__()
        self.first, self.last, self.by_hand, self.gate = nn.Linear(6, 6), nn.Linear(6, 3), by_hand, gate

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        by_hand = bool(self.first.bias.sum() > 0) if self.by_hand is None else self.by_hand
        out: Tensor = self.last(hidden + self.gate * F.linear(x, self.first.weight.T) if by_hand else hidden)
        return out


@pytest.mark.parametrize("by_weights", [False, True])
def test_a_model_whose_pass_is_another_is_rehearsed_by_itself(by_weights: bool, rehearsed: list[int]) -> None:
    known: dict[object, Any] = {}
    plain, odd = Switched(None if by_weights else False), Switched(None if by_weights else True)
    plain.first.bias.data.fill_(-1.0)
    odd.first.bias.data.fill_(1.0)
    passed(plain, known)(features(), LABELS.to(where[0]))
    assert len(rehearsed) == 1
    run = passed(odd, known)
    run(features(), LABELS.to(where[0]))
    assert len(rehearsed) == 2 and [layer.name for layer in run.replayed] == ["first"]
    assert_as_alone(odd, run, features())


def ruined(module: nn.Module, value: float) -> nn.Module:
    for parameter in module.parameters():
        parameter.data.fill_(value)
    return module


@pytest.mark.parametrize(
    "module",
    [Switched(True, gate=0.0), ruined(net(), 0.0), ruined(net(), float("nan"))],
    ids=["used twice, once without effect", "without gradients", "diverged"],
)
def test_what_proves_nothing_is_told_to_nobody(module: nn.Module) -> None:
    known: dict[object, Any] = {}
    assert not passed(module, known).replayed
    assert not known


class Drawn(nn.Module):
    """Draws at random, in evaluation mode too."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


def test_a_model_that_draws_gives_the_same_whoever_was_rehearsed_before(rehearsed: list[int]) -> None:
    module, known, squares = net(last=Drawn), dict[object, Any](), list[Tensor]()
    for _ in range(2):
        torch.manual_seed(3)
        squares.append(passed(module, known)(features(), LABELS.to(where[0])).squares["0"])
    assert len(rehearsed) == 2 and not known and torch.equal(*squares)


def test_operations_are_told_apart_and_sizes_are_not() -> None:
    leaf = torch.ones(3, requires_grad=True)
    once, twice, other = (recorded(made.sum(), {"w": leaf}) for made in (leaf.exp(), leaf.exp().exp(), leaf.sin()))
    assert once != twice != other != once
    assert recorded(leaf[:1].exp().sum(), {"w": leaf}) == recorded(leaf[:3].exp().sum(), {"w": leaf})
    assert recorded(leaf.exp().sum(), {}).uses == {"": 1}
    assert recorded(torch.ones(()), {"w": leaf}).operations == ()


def test_a_worker_rehearses_once(quick_run: Callable[..., Path], rehearsed: list[int]) -> None:
    quick_run("metrics=[gradients]", "engine=local")
    assert len(rehearsed) == 1
