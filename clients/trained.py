"""What local training began with and came to."""

from dataclasses import dataclass

from torch import Tensor

from clients.network import Weights
from clients.training import LocalResult


@dataclass(frozen=True)
class Trained:
    """What local training began with and came to, for the hooks that follow it.

    Attributes:
        received: name -> weights that came, with the client's own where a layer was not sent.
        start: name -> weights that training started from.
        weights, buffers: name -> what training made of them.
        result: loss, records seen and steps.
        lr: the learning rate, the mean over its steps if they have one each.
    """

    received: Weights
    start: Weights
    weights: dict[str, Tensor]
    buffers: dict[str, Tensor]
    result: LocalResult
    lr: float
