"""Weights apart from the module: split off, put back, and packed as safetensors."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from fedlayers.core.errors import UserError


def split_state(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return copies of a module's parameters and of its buffers, by full name.

    Args:
        module: any torch module.

    Returns:
        The parameters (each once, under its first name if it is tied) and all buffers, in the module's order:
        detached copies that need no gradient.
    """
    parameters = {name: tensor.detach().clone() for name, tensor in module.named_parameters()}
    buffers = {name: tensor.detach().clone() for name, tensor in module.named_buffers()}
    return parameters, buffers


def load_state(module: nn.Module, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> None:
    """Copy parameters and buffers into a module, in place.

    Args:
        module: the module whose tensors are overwritten.
        parameters: all of the module's parameters, by the names of :func:`split_state`.
        buffers: all of its buffers.

    Raises:
        UserError: if a name is missing or unknown, or a shape differs.
    """
    loading(module, parameters, buffers)()


def loading(module: nn.Module, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> Callable[[], None]:
    """Return what does the work of :func:`load_state` once it is called; whether they fit is looked at now."""
    own = [*module.named_parameters(), *module.named_buffers()]
    given = {**parameters, **buffers}
    names = [name for name, _ in own]
    unfit = sorted(set(names) ^ set(given)) or [name for name, tensor in own if tensor.shape != given[name].shape]
    if unfit:
        found, wanted = _shape(given, unfit[0]), _shape(dict(own), unfit[0])
        raise UserError(
            f"weights must fit the model {type(module).__name__}, got {found} for {unfit[0]!r} where the "
            f"model has {wanted}; use weights of the same model and data set"
        )

    def load() -> None:
        if own:
            with torch.no_grad():
                torch._foreach_copy_([tensor for _, tensor in own], [given[name] for name in names])

    return load


def to_safetensors_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Return named tensors as the bytes of a safetensors file; equal tensors give equal bytes."""
    # safetensors sorts by type and name and refuses tensors that share memory: keep the order, and copy.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    packed: bytes = save(plain, metadata={"order": json.dumps(list(plain))})
    return packed


def from_safetensors_bytes(data: bytes) -> dict[str, Tensor]:
    """Return the named tensors of a safetensors file's bytes, in the order in which they were packed.

    Args:
        data: what :func:`to_safetensors_bytes` or any other program wrote.

    Returns:
        Name -> tensor on the CPU; files of other programs hold no order and come sorted by name.

    Raises:
        UserError: if the bytes are no complete safetensors file.
    """
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise UserError(
            f"weights must be a complete safetensors file, got {len(data)} bytes that are not ({error})"
        ) from error
    metadata = _header(data).get("__metadata__", {})
    order = json.loads(metadata["order"]) if "order" in metadata else sorted(tensors)
    return {name: tensors[name] for name in order}


def sizes_in_safetensors(data: bytes) -> dict[str, int]:
    """Return how many bytes each tensor of a safetensors file takes, by name, without reading any.

    Examples:
        >>> sizes_in_safetensors(to_safetensors_bytes({"mean": torch.zeros(3), "seen": torch.tensor(0)}))
        {'mean': 12, 'seen': 8}
    """
    offsets = {name: about["data_offsets"] for name, about in _header(data).items() if name != "__metadata__"}
    return {name: offsets[name][1] - offsets[name][0] for name in sorted(offsets)}


def _header(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return found


def _shape(tensors: Mapping[str, Tensor], name: str) -> str:
    return f"shape {tuple(tensors[name].shape)}" if name in tensors else "nothing"
