"""A multilayer perceptron for examples of any shape."""

import math
from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from fedlayers.core.checks import check


class MLP(nn.Sequential):
    """Linear layers ``fc1``, ``fc2``, … with ReLU between them, on flattened examples.

    Args:
        input_shape: one example's shape.
        num_classes: the number of outputs, one logit each.
        hidden: widths of the hidden layers, each 1 or more; an empty list gives a linear classifier.
        dropout: share of hidden units set to 0 while training, in [0, 1).
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        hidden: Sequence[int] = (200,),
        dropout: float = 0.0,
    ) -> None:
        check(all(width >= 1 for width in hidden), "model.hidden", "a list of widths of 1 or more", hidden)
        check(0 <= dropout < 1, "model.dropout", "in [0, 1)", dropout)
        widths = [math.prod(input_shape), *hidden, num_classes]
        steps: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        for depth in range(1, len(widths)):
            steps[f"fc{depth}"] = nn.Linear(widths[depth - 1], widths[depth])
            if depth < len(widths) - 1:
                steps[f"relu{depth}"] = nn.ReLU()
                if dropout:
                    steps[f"dropout{depth}"] = nn.Dropout(dropout)
        super().__init__(steps)
