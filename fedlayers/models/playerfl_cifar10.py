"""PLayer-FL's network for CIFAR-10."""

from collections.abc import Iterator, Sequence

from torch import nn

from fedlayers.core.checks import check
from fedlayers.models.images import image_shape
from fedlayers.models.kaiming import kaiming_normal
from fedlayers.models.playerfl_steps import check_sizes, convolutional_steps
from fedlayers.models.pooling import MaxPool2d


class PLayerFLCIFAR10(nn.Sequential):
    """Five 3×3 convolutions with ReLU and dropout, then the mean over the image and two linear layers.

    Convolutions have padding 2, every second one is followed by max-pooling; there is no normalisation.
    Layers: ``conv1`` … ``conv5``, ``fc1``, ``fc2``.

    Args:
        input_shape: one image's shape (channels, height, width), 2 pixels or more a side.
        num_classes: the number of outputs, one logit each.
        channels: output channels of the convolutions, one or more of them, each 1 or more.
        hidden: width of ``fc1``, 1 or more.
        dropout: share of units set to 0 after each convolution while training, in [0, 1).

    References:
        Elhussein and Gürsoy 2025, PLayer-FL, arXiv:2502.08829.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        channels: Sequence[int] = (64, 128, 256, 512, 512),
        hidden: int = 100,
        dropout: float = 0.3,
    ) -> None:
        check_sizes(channels, hidden)
        check(0 <= dropout < 1, "model.dropout", "in [0, 1)", dropout)
        colours, _, _ = image_shape(input_shape, "playerfl_cifar10", smallest=2)

        def after(depth: int) -> Iterator[tuple[str, nn.Module]]:
            if depth % 2 == 0:
                yield f"pool{depth}", MaxPool2d(2)
            yield f"dropout{depth}", nn.Dropout(dropout)

        super().__init__(convolutional_steps([colours, *channels], 3, 2, after, hidden, num_classes))
        kaiming_normal(self)
