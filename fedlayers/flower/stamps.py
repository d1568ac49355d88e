"""What tells whether two measurements are of the same model, made in the same way."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

_BYTES = 32


def stamp(weights: Mapping[str, Tensor], buffers: Mapping[str, Tensor], device: torch.device, threads: int) -> bytes:
    """Return 32 bytes that are equal where weights and buffers are, to the last bit, and how they are computed with.

    Sums come out otherwise on another kind of device, and with another number of threads.

    Args:
        weights: name -> weights.
        buffers: name -> buffers.
        device: on which the model computes.
        threads: with how many threads.

    Examples:
        >>> cpu, one = torch.device("cpu"), {"w": torch.ones(2)}
        >>> stamp(one, {}, cpu, 1) == stamp({"w": torch.ones(2)}, {}, cpu, 1)
        True
        >>> stamp(one, {}, cpu, 1) == stamp({"w": torch.tensor([1.0, 1.0000001])}, {}, cpu, 1)
        False
    """
    found = hashlib.blake2b(f"{device.type} {threads}".encode(), digest_size=_BYTES)
    for name, tensor in sorted([*weights.items(), *buffers.items()]):
        # As bytes: numpy has no bfloat16.
        plain = tensor.detach().cpu().contiguous()
        found.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        found.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return found.digest()


def packed_stamp(name: str, stamped: bytes) -> bytes:
    """Return the name of a model and its stamp as they travel."""
    return stamped + name.encode()


def unpacked_stamp(data: bytes) -> tuple[str, bytes]:
    """Return the name and the stamp of :func:`packed_stamp`.

    Examples:
        >>> unpacked_stamp(packed_stamp("global", bytes(32))) == ("global", bytes(32))
        True
    """
    return data[_BYTES:].decode(), data[:_BYTES]
