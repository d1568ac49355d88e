"""A small convolutional network that trains on a laptop."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from fedlayers.core.checks import check
from fedlayers.models.images import image_shape
from fedlayers.models.pooling import MaxPool2d


class CNN(nn.Sequential):
    """Two convolutions with max-pooling (``conv1``, ``conv2``) and two linear layers (``fc1``, ``fc2``).

    By default 114,314 parameters on 28×28 grey images and 145,834 on 32×32 colour images with 10 classes.

    Args:
        input_shape: one image's shape (channels, height, width), 4 pixels or more a side.
        num_classes: the number of outputs, one logit each.
        channels: output channels of the two convolutions, each 1 or more.
        kernel_size: side of the filters, odd, so that padding keeps the image's size; less than twice the image's side.
        hidden: width of ``fc1``, 1 or more.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        channels: Sequence[int] = (16, 32),
        kernel_size: int = 5,
        hidden: int = 64,
    ) -> None:
        colours, height, width = image_shape(input_shape, "cnn", smallest=4)
        check(len(channels) == 2 and min(channels) >= 1, "model.channels", "two numbers of 1 or more", channels)
        check(kernel_size >= 1 and kernel_size % 2 == 1, "model.kernel_size", "odd and positive", kernel_size)
        # A wider one would reach beyond both borders at once.
        most = 2 * min(height, width) - 1
        check(kernel_size <= most, "model.kernel_size", f"{most} or less for images of {height} × {width}", kernel_size)
        check(hidden >= 1, "model.hidden", "1 or more", hidden)
        first, second = channels
        padding = kernel_size // 2
        # ReLU after pooling gives the same values as before it, at a quarter of the work.
        super().__init__(
            OrderedDict[str, nn.Module](
                conv1=nn.Conv2d(colours, first, kernel_size, padding=padding),
                pool1=MaxPool2d(2),
                relu1=nn.ReLU(),
                conv2=nn.Conv2d(first, second, kernel_size, padding=padding),
                pool2=MaxPool2d(2),
                relu2=nn.ReLU(),
                flatten=nn.Flatten(),
                fc1=nn.Linear(second * (height // 4) * (width // 4), hidden),
                relu3=nn.ReLU(),
                fc2=nn.Linear(hidden, num_classes),
            )
        )
