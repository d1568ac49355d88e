"""What makes a round count: the global model, the strategy's memory, the best round so far."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from flwr.serverapp.strategy import Strategy
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from torch import Tensor

from fedlayers.core.errors import UserError
from fedlayers.runs import strategy_state


@dataclass(frozen=True)
class Best:
    """The best round so far: which, by what, and how good."""

    round: int
    metric: str
    value: float

    def as_json(self) -> dict[str, Any]:
        """Return the attributes as a dictionary."""
        return asdict(self)


@dataclass(frozen=True)
class Checkpoint:
    """The server's state after a round."""

    weights: Mapping[str, np.ndarray]
    buffers: Mapping[str, Tensor]
    strategy: Strategy
    best: Best | None

    def packed(self) -> tuple[bytes, dict[str, Any]]:
        """Return the arrays as safetensors and the rest as JSON values."""
        arrays = {f"weights/{name}": array for name, array in self.weights.items()}
        arrays.update({f"buffers/{name}": tensor.cpu().numpy() for name, tensor in self.buffers.items()})
        try:
            strategy_arrays, strategy_scalars = strategy_state.dump(self.strategy)
            problem = None
        except TypeError as error:
            strategy_arrays, strategy_scalars, problem = {}, {}, str(error)
        scalars = {
            "strategy": strategy_scalars,
            "not_resumable": problem,
            "best": self.best.as_json() if self.best else None,
        }
        return save_arrays({**arrays, **strategy_arrays}), scalars


def restore(
    data: bytes, scalars: Mapping[str, Any], strategy: Strategy
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], Best | None]:
    """Return weights, buffers and best round of a checkpoint and put the strategy's memory back.

    Raises:
        UserError: the strategy's state could not be saved, so the run cannot be continued.
    """
    if scalars.get("not_resumable"):
        raise UserError(
            f"this run cannot be continued: the state of algorithm.strategy cannot be saved "
            f"({scalars['not_resumable']}); start it afresh with force=true"
        )
    arrays = load_arrays(data)
    strategy_state.load(strategy, arrays, scalars["strategy"])
    weights = {name.removeprefix("weights/"): array for name, array in arrays.items() if name.startswith("weights/")}
    buffers = {name.removeprefix("buffers/"): array for name, array in arrays.items() if name.startswith("buffers/")}
    best = scalars.get("best")
    return weights, buffers, Best(**best) if best else None


def check_resumable(strategy: Strategy) -> str | None:
    """Return why a strategy's state cannot be saved, None if it can."""
    try:
        strategy_state.dump(strategy)
    except TypeError as error:
        return str(error)
    return None
