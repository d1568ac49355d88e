"""PLayer-FL's network for Fashion-MNIST and EMNIST."""

from collections.abc import Iterator, Sequence

from torch import nn

from fedlayers.models.images import image_shape
from fedlayers.models.kaiming import kaiming_normal
from fedlayers.models.playerfl_steps import check_sizes, convolutional_steps
from fedlayers.models.pooling import MaxPool2d


class PLayerFLFMNIST(nn.Sequential):
    """Three times 5×5 convolution, ReLU and max-pooling, then the mean over the image and two linear layers.

    Layers: ``conv1`` … ``conv3``, ``fc1``, ``fc2``; no normalisation.

    Args:
        input_shape: one image's shape (channels, height, width), 8 pixels or more a side.
        num_classes: the number of outputs, one logit each.
        channels: output channels of the convolutions, one or more of them, each 1 or more.
        hidden: width of ``fc1``, 1 or more.

    References:
        Elhussein and Gürsoy 2025, PLayer-FL, arXiv:2502.08829.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        channels: Sequence[int] = (64, 128, 256),
        hidden: int = 100,
    ) -> None:
        check_sizes(channels, hidden)
        colours, _, _ = image_shape(input_shape, "playerfl_fmnist", smallest=2 ** len(channels))

        def after(depth: int) -> Iterator[tuple[str, nn.Module]]:
            yield f"pool{depth}", MaxPool2d(2)

        super().__init__(convolutional_steps([colours, *channels], 5, 2, after, hidden, num_classes))
        kaiming_normal(self)
