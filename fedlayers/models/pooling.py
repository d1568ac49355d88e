"""Max-pooling that is fast on a CPU."""

from torch import Tensor, nn


class MaxPool2d(nn.MaxPool2d):
    """torch's max-pooling in the channels-last memory layout: the same numbers.

    Torch's CPU kernel is vectorised over channels only in that layout; in the usual one pooling takes longer than the
    convolution before it (measured on a 16-channel 28×28 batch: inference of the whole small CNN 2.3 times faster,
    a training step 1.4 times).
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the maxima, shape (b, c, h', w')."""
        # The layout by permutation, because vmap knows no memory formats.
        pooled: Tensor = super().forward(input.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2))
        return pooled
