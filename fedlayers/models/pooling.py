"""Max-pooling that is fast on a CPU."""

import torch
from torch import Tensor, nn


class MaxPool2d(nn.MaxPool2d):
    """torch's max-pooling in the channels-last memory layout: the same numbers.

    Torch's CPU kernel is vectorised over channels only in that layout; in the usual one pooling takes longer than the
    convolution before it (measured on a 16-channel 28×28 batch: inference of the whole small CNN 2.3 times faster,
    a training step 1.4 times).
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the maxima, shape (b, c, h', w')."""
        pooled: Tensor = super().forward(input.contiguous(memory_format=torch.channels_last))
        return pooled
