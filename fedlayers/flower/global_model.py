"""The server's model: weights and buffers, and the forms in which they travel."""

from dataclasses import dataclass

import numpy as np
import torch
from flwr.app import ArrayRecord
from torch import Tensor

from fedlayers.core.errors import UserError
from fedlayers.core.weights import from_safetensors_bytes, to_safetensors_bytes
from fedlayers.flower.adapter import make_array_record
from fedlayers.flower.arrays import decode, encode


@dataclass
class GlobalModel:
    """The server's weights and buffers, by name in the order of the model: those of the layers that are shared."""

    weights: dict[str, np.ndarray]
    buffers: dict[str, Tensor]

    def record(self) -> ArrayRecord:
        """Return the weights as the record that strategies pass around."""
        return make_array_record({name: encode(array) for name, array in self.weights.items()})

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights as tensors that share memory with the arrays."""
        return {name: torch.from_numpy(array) for name, array in self.weights.items()}

    def packed(self) -> bytes:
        """Return weights and buffers as safetensors."""
        return to_safetensors_bytes({**self.tensors(), **self.buffers})

    def restored(self, data: bytes) -> "GlobalModel":
        """Return the model of the same arrays that :meth:`packed` has written.

        Args:
            data: safetensors.
        """
        found = from_safetensors_bytes(data)
        weights = {name: np.array(found[name].numpy()) for name in self.weights}
        return GlobalModel(weights, {name: found[name] for name in self.buffers})

    def take(self, arrays: ArrayRecord) -> None:
        """Replace weights by aggregated ones, by name, in the model's order and precision (FedAdam returns float64).

        What was not aggregated, because no client sent it, stays as it is.

        Raises:
            UserError: the strategy made arrays that the model does not have.
        """
        strange = [name for name in arrays if name not in self.weights]
        if strange:
            named = f"under names such as {next(iter(self.weights))!r}" if self.weights else "of which there are none"
            raise UserError(
                f"algorithm.strategy must make arrays of shared layers, {named}, got {strange[0]!r}; keep others in it"
            )
        found = {name: decode(array) for name, array in arrays.items()}
        self.weights = {
            name: np.ascontiguousarray(found[name].astype(own.dtype)).reshape(own.shape) if name in found else own
            for name, own in self.weights.items()
        }
