"""What an image network asks of its input."""

from collections.abc import Sequence

from fedlayers.core.checks import check


def image_shape(input_shape: Sequence[int], network: str, smallest: int) -> tuple[int, int, int]:
    """Return (channels, height, width) of an example, or say that the network needs images.

    Args:
        input_shape: one example's shape.
        network: the network's name in ``conf/model``, for the message.
        smallest: the smallest height and width that survive the network's pooling, in pixels.

    Raises:
        UserError: if examples are not images of at least that size.
    """
    fits = len(input_shape) == 3 and min(input_shape[1:]) >= smallest
    check(
        fits,
        f"model={network}: the shape of an example",
        f"(channels, height, width) with {smallest} pixels or more a side",
        tuple(input_shape),
        "choose another model (model=mlp takes any shape) or another data set",
    )
    channels, height, width = input_shape
    return channels, height, width
