"""Which of torch's kernels compute attention: the fused ones hide its parts."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def without_fast_path() -> Iterator[None]:
    """Let encoder layers call their attention, which the fast path of evaluation mode goes around."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def unfused_attention() -> Iterator[None]:
    """Let attention be computed as products of matrices, of which torch can stack each and count the operations."""
    with without_fast_path(), sdpa_kernel(SDPBackend.MATH):
        yield
