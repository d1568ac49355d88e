"""PLayer-FL's network for pictures of skin lesions."""

from collections.abc import Iterator, Sequence

from torch import nn

from fedlayers.core.checks import check
from fedlayers.models.images import image_shape
from fedlayers.models.kaiming import kaiming_normal
from fedlayers.models.playerfl_steps import check_sizes, convolutional_steps
from fedlayers.models.pooling import MaxPool2d


class PLayerFLISIC(nn.Sequential):
    """Five 3×3 convolutions with ReLU, then the mean over the image and two linear layers.

    The third and all later convolutions are followed by max-pooling and dropout; there is no normalisation. Layers:
    ``conv1`` … ``conv5``, ``fc1``, ``fc2``.

    Args:
        input_shape: one image's shape (channels, height, width), 8 pixels or more a side, 200 in the paper.
        num_classes: the number of outputs, one logit each.
        channels: output channels of the convolutions, three or more of them, each 1 or more.
        hidden: width of ``fc1``, 1 or more.
        dropout: share of units set to 0 after each pooling while training, in [0, 1).

    References:
        Elhussein and Gürsoy 2025, PLayer-FL, arXiv:2502.08829.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        channels: Sequence[int] = (32, 64, 128, 256, 512),
        hidden: int = 256,
        dropout: float = 0.2,
    ) -> None:
        check_sizes(channels, hidden, 3, "a list of three or more numbers")
        check(0 <= dropout < 1, "model.dropout", "in [0, 1)", dropout)
        colours, _, _ = image_shape(input_shape, "playerfl_isic", smallest=2 ** (len(channels) - 2))

        def after(depth: int) -> Iterator[tuple[str, nn.Module]]:
            if depth >= 3:
                yield f"pool{depth}", MaxPool2d(2)
                yield f"dropout{depth}", nn.Dropout(dropout)

        super().__init__(convolutional_steps([colours, *channels], 3, 1, after, hidden, num_classes))
        kaiming_normal(self)
