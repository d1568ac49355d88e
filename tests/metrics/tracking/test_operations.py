"""Operations of a block of code against torch's own counter."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from metrics.resource_usage.operations import ALL, operations_of


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = torch.cond(x.sum() > 0, self.first, lambda x: self.second(self.first(x)), (x,))
        return found


NETWORKS = {
    "convolutions": (
        nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(6, 4, 3), nn.Flatten()),
        (2, 4, 8, 8),
    ),
    "recurrent": (nn.Sequential(nn.Linear(5, 5), nn.LSTM(5, 4)), (2, 7, 5)),
    "attention": (nn.TransformerEncoderLayer(8, 2, batch_first=True), (2, 5, 8)),
}


def counted(network: nn.Module, x: Tensor) -> dict[str, int]:
    with FlopCounterMode(display=False) as counter:
        network(x)
    totals = {module: sum(counts.values()) for module, counts in counter.get_flop_counts().items()}
    return {module: total for module, total in totals.items() if total}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("gradients", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_they_are_those_that_torch_counts(name: str, gradients: Callable[[], Any]) -> None:
    network, shape = NETWORKS[name]
    with gradients():
        found = operations_of(lambda: network(torch.zeros(shape)))
        assert found == counted(network, torch.zeros(shape)) and found[ALL] > 0


def test_what_compiles_what_it_runs_is_counted_by_torch() -> None:
    with torch.no_grad():
        assert operations_of(lambda: Branches()(torch.ones(2, 4)))[ALL] == 2 * 2 * 2 * 4 * 4


def test_what_fails_says_so() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        operations_of(lambda: torch.zeros(2, 3) @ torch.zeros(2, 3))
