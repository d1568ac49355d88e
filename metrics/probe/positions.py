"""What becomes of several positions in one output: pixels of a convolution, steps of a sequence."""

from torch import Tensor

POSITIONS = ("pooled", "flattened", "samples")
WITH_PADDING = "pooled or flattened for examples of different lengths, whose padding would count as samples"


def check_positions(positions: str) -> str:
    """Return ``positions`` if it says what becomes of several positions in one output.

    Raises:
        ValueError: it is none of ``pooled``, ``flattened`` and ``samples``.
    """
    if positions not in POSITIONS:
        raise ValueError(f"positions must be one of {', '.join(POSITIONS)}, got {positions!r}")
    return positions


def check_padding(positions: str, mask: Tensor | None) -> None:
    """Check that no padding is to be a sample.

    Args:
        positions: one of ``POSITIONS``.
        mask: see :func:`fedlayers.core.kinds.tokens.mask_of`.

    Raises:
        ValueError: positions are samples, and some of them padding.

    Examples:
        >>> import torch
        >>> check_padding("samples", torch.tensor([[True, False]]))
        Traceback (most recent call last):
            ...
        ValueError: positions must be pooled or flattened for examples of different lengths...
    """
    if positions == "samples" and mask is not None and not bool(mask.all()):
        raise ValueError(f"positions must be {WITH_PADDING}, got {positions!r}")
