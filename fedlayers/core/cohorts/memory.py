"""Which errors say that something did not fit into memory."""

import torch

# How torch's allocator on a CPU says so, in a RuntimeError.
_SAYINGS = ("can't allocate memory", "not enough memory")


def does_not_fit(error: BaseException) -> bool:
    """Say whether an exception means that a device or the machine had not enough memory for what was asked."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(saying in str(error) for saying in _SAYINGS)
