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


def counts_padding(positions: str, mask: Tensor | None) -> bool:
    """Say whether padding would be among the samples.

    Args:
        positions: one of ``POSITIONS``.
        mask: see :func:`fedlayers.core.kinds.tokens.mask_of`.

    Examples:
        >>> import torch
        >>> mask = torch.tensor([[True, False]])
        >>> counts_padding("samples", mask), counts_padding("pooled", mask), counts_padding("samples", None)
        (True, False, False)
    """
    return positions == "samples" and mask is not None and not bool(mask.all())
