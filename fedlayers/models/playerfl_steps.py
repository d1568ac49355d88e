"""What PLayer-FL's networks for images have in common: convolutions one after the other, a mean, two linear layers."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

from torch import nn

from fedlayers.core.checks import check

# Of the number of a convolution, from 1: names and modules that follow it.
After = Callable[[int], Iterator[tuple[str, nn.Module]]]


def check_sizes(channels: Sequence[int], hidden: int, fewest: int = 1, allowed: str = "a list of numbers") -> None:
    """Check how wide layers are asked to be.

    Args:
        channels: output channels of the convolutions.
        hidden: width of ``fc1``.
        fewest: how many convolutions there are at least.
        allowed: that in words.

    Raises:
        UserError: there are fewer, or a width is less than 1.
    """
    wide = len(channels) >= fewest and min(channels) >= 1
    check(wide, "model.channels", f"{allowed} of 1 or more", channels)
    check(hidden >= 1, "model.hidden", "1 or more", hidden)


def convolutional_steps(
    widths: Sequence[int], kernel: int, padding: int, after: After, hidden: int, num_classes: int
) -> OrderedDict[str, nn.Module]:
    """Return the steps ``conv1``, ``relu1`` …, the mean over the image, ``fc1`` and ``fc2``.

    Args:
        widths: input channels, then the output channels of each convolution.
        kernel: pixels a side.
        padding: of each convolution.
        after: what follows a convolution and its ReLU.
        hidden: width of ``fc1``.
        num_classes: the number of outputs.
    """
    steps: OrderedDict[str, nn.Module] = OrderedDict()
    for depth in range(1, len(widths)):
        steps[f"conv{depth}"] = nn.Conv2d(widths[depth - 1], widths[depth], kernel, padding=padding)
        steps[f"relu{depth}"] = nn.ReLU()
        steps.update(after(depth))
    steps["mean"] = nn.AdaptiveAvgPool2d(1)
    steps["flatten"] = nn.Flatten()
    steps["fc1"] = nn.Linear(widths[-1], hidden)
    steps[f"relu{len(widths)}"] = nn.ReLU()
    steps["fc2"] = nn.Linear(hidden, num_classes)
    return steps
