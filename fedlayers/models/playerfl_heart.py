"""PLayer-FL's network for the hospitals of Fed-Heart."""

from collections.abc import Sequence

from fedlayers.models.kaiming import kaiming_normal
from fedlayers.models.mlp import MLP


class PLayerFLHeart(MLP):
    """Four linear layers ``fc1`` … ``fc4`` with ReLU between them, Kaiming initialised.

    Args:
        input_shape: one example's shape, (10,) in the paper.
        num_classes: the number of outputs, one logit each.
        hidden: widths of the hidden layers, each 1 or more.

    References:
        Elhussein and Gürsoy 2025, PLayer-FL, arXiv:2502.08829.
    """

    def __init__(self, input_shape: Sequence[int], num_classes: int, hidden: Sequence[int] = (50, 20, 20)) -> None:
        super().__init__(input_shape, num_classes, hidden)
        kaiming_normal(self)
