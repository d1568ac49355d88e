"""Clients that are measured side by side, and each by itself: their views, and what is measured on both."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar
from unittest import mock

import torch
from torch import Tensor, nn

from fedlayers.core.cohorts.meeting import side_by_side
from fedlayers.core.layers import layers_of
from metrics.base import ClientView
from metrics.cohorts.jobs import MeasuringJob
from tests.support.metric_views import Rows, where

T = TypeVar("T")

SHAPE, CLASSES = (1, 8, 8), 4
COUNTS = (9, 5, 12, 1)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.Tanh(), nn.LayerNorm(9), nn.Linear(9, CLASSES))


def cnn() -> nn.Module:
    """Has convolutions, pooling, norms with running statistics and of groups, and dropout, which sleeps."""
    module = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2))
    module.extend([nn.Conv2d(4, 6, 3, stride=2), nn.GroupNorm(2, 6), nn.ReLU(), nn.Dropout(0.5), nn.Flatten()])
    module.append(nn.Linear(6, CLASSES))
    return module


def views_of(
    make: Callable[[], nn.Module],
    counts: Sequence[int] = COUNTS,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> list[ClientView]:
    """Return views of clients of one structure, with weights, buffers and numbers of examples of their own."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = make().to(dtype).eval()
    probe = Rows(*examples_of(7, generator, dtype))
    return [_view(copy.deepcopy(module), client, count, probe, generator) for client, count in enumerate(counts)]


def _view(module: nn.Module, client: int, count: int, probe: Rows, generator: torch.Generator) -> ClientView:
    dtype = next(module.parameters()).dtype
    with torch.no_grad():
        for tensor in (*module.parameters(), *(own for own in module.buffers() if own.is_floating_point())):
            tensor.mul_(1 + 0.2 * torch.rand(tensor.shape, generator=generator, dtype=dtype))
    module.to(where[0])
    weights = {name: tensor.detach().clone() for name, tensor in module.named_parameters()}
    return ClientView(
        layers=layers_of(module),
        module=module,
        parameters=weights,
        buffers=dict(module.named_buffers()),
        reference=weights,
        data={"client_train": Rows(*examples_of(count, generator, dtype))},
        classes=tuple("abcdefgh"[:CLASSES]),
        seed=client,
        round=1,
        moment="after_local",
        batch_size=4,
        device=where[0],
        probe=probe,
    )


def examples_of(count: int, generator: torch.Generator, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    features = torch.randn(count, *SHAPE, generator=generator, dtype=dtype)
    return features.to(where[0]), torch.randint(CLASSES, (count,), generator=generator).to(where[0])


def both_ways(
    views: Sequence[ClientView], work: Callable[[ClientView], T], job: type[MeasuringJob[Any]]
) -> list[tuple[T, T]]:
    """Return what each client measures by itself, and side by side with the others.

    Args:
        views: the clients'; what they have computed is forgotten in between.
        work: measures one.
        job: what nobody may do alone in the second case, whether it pays or not.
    """
    alone = [work(view) for view in views]
    for view in views:
        view.cache.clear()
    works = [partial(work, view) for view in views]
    with mock.patch.object(job, "alone", _refused), mock.patch.object(job, "pays", True):
        return list(zip(alone, side_by_side(works), strict=True))


def _refused(job: MeasuringJob[object]) -> object:
    raise AssertionError(f"{type(job).__name__} was done alone")
