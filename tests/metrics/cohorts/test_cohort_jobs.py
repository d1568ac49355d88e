"""What is computed at once, what each does by itself, and what becomes of failures."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Self
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from fedlayers.core.cohorts.meeting import side_by_side
from metrics.base import ClientView
from metrics.cohorts.jobs import MeasuringJob, done
from metrics.cohorts.models import can_be_stacked
from metrics.gradients import _Sampling
from metrics.hessian.stacked import _Graphing, loss_graph
from metrics.predictions.predicting import _Predicting
from tests.support.cohort_views import CLASSES, cnn, mlp, views_of
from tests.support.metric_views import where

pytestmark = pytest.mark.usefixtures("device")


class Count(MeasuringJob[str]):
    """Says with how many it was done; more than ``most`` do not fit, and the client ``broken`` fails."""

    most, broken = 99, -1

    def alone(self) -> str:
        if self.view.seed == self.broken:
            raise ValueError(f"client {self.broken} is broken")
        return f"{self.view.seed} alone"

    @classmethod
    def together(cls, jobs: Sequence[Self]) -> Sequence[str]:
        assert [job.size for job in jobs] == sorted((job.size for job in jobs), reverse=True)
        if len(jobs) > cls.most:
            raise MemoryError
        if any(job.view.seed == cls.broken for job in jobs):
            raise ValueError("somebody is broken")
        return [f"{job.view.seed} of {len(jobs)}" for job in jobs]


class Few(Count):
    most = 2


class Nobody(Count):
    most = 0


class Broken(Count):
    broken = 2


def counted(views: Sequence[ClientView], kind: type[Count] = Count) -> list[str]:
    def work(view: ClientView) -> str:
        try:
            return done(kind(view, len(view.data["client_train"])))
        except ValueError as error:
            return str(error)

    return side_by_side([partial(work, view) for view in views])


def test_clients_of_one_structure_are_done_at_once() -> None:
    assert counted(views_of(mlp)) == [f"{client} of 4" for client in range(4)]
    mixed = [*views_of(mlp, counts=(3, 3)), *views_of(cnn, counts=(3, 3, 3), seed=1)]
    assert counted(mixed) == ["0 of 2", "1 of 2", "0 of 3", "1 of 3", "2 of 3"]


def test_a_client_by_itself_is_done_alone() -> None:
    assert done(Count(views_of(mlp)[0], 1)) == "0 alone"
    assert counted(views_of(mlp, counts=(3,))) == ["0 alone"]


def test_what_does_not_fit_is_halved() -> None:
    assert counted(views_of(mlp), Few) == [f"{client} of 2" for client in range(4)]
    assert counted(views_of(mlp), Nobody) == [f"{client} alone" for client in range(4)]


def test_what_fails_for_one_does_not_for_others() -> None:
    assert counted(views_of(mlp), Broken) == ["0 alone", "1 alone", "client 2 is broken", "3 alone"]


class Mixing(nn.Module):
    """An example's output depends on the others of its batch."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        found: Tensor = self.fc(flat - flat.mean(0))
        return found


class Looking(Mixing):
    """Decides by a number."""

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fc(x.flatten(1))
        return found if float(found.sum()) > 0 else -found


class Drawing(Mixing):
    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fc(x.flatten(1))
        return found + torch.randn_like(found)


@pytest.mark.parametrize("make", [Mixing, Looking, Drawing])
def test_models_that_cannot_be_stacked_are_measured_one_by_one(make: Callable[[], nn.Module]) -> None:
    views = views_of(make)
    assert not can_be_stacked(views[0])
    assert counted(views) == [f"{client} alone" for client in range(4)]


@pytest.mark.parametrize("make", [mlp, cnn])
def test_others_can_be(make: Callable[[], nn.Module]) -> None:
    assert can_be_stacked(views_of(make)[0])


def test_compiled_models_wait_for_nobody() -> None:
    views = views_of(mlp, counts=(3, 3))
    for view in views:
        # As Module.compile leaves it, which takes seconds to load a compiler.
        view.module._compiled_call_impl = view.module._call_impl
    assert counted(views) == ["0 alone", "1 alone"]


def test_without_examples_nothing_is_known_of_a_model() -> None:
    view = views_of(mlp)[0]
    view.data, view.probe = {}, None
    assert not can_be_stacked(view)


def test_on_a_cpu_only_what_is_faster_is_done_at_once() -> None:
    if where[0].type != "cpu":
        pytest.skip("on a card all of it is")
    single, folded = views_of(mlp)[0], views_of(cnn)[0]
    rows = torch.arange(2)
    assert _Predicting(single, "client_train").pays and not _Predicting(folded, "client_train").pays
    assert _Sampling(folded, "client_train", 2, 1).pays and not _Graphing(single, "client_train", rows).pays
    with mock.patch.object(_Graphing, "together", side_effect=AssertionError):
        side_by_side([partial(loss_graph, view, "client_train", rows) for view in views_of(mlp, counts=(3, 3))])
