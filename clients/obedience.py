"""What FedAvg's participant does for a strategy that tells it to: a proximal term, a clipped update."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from metrics.statistics.weight_statistics import squared_norm


def proximal_term(mu: float, parameters: Mapping[str, Tensor], received: Mapping[str, Tensor]) -> Tensor:
    """Return (µ/2) ‖w − wᵗ‖² over the given parameters, at least one, wᵗ the weights received.

    References:
        Li et al. 2020, Federated Optimization in Heterogeneous Networks, MLSys (arXiv 1812.06127), equation 2.
    """
    squares = [(parameters[name] - received[name]).square().sum() for name in parameters]
    return mu / 2 * torch.stack(squares).sum()


@torch.no_grad()
def clip_update(parameters: Mapping[str, Tensor], received: Mapping[str, Tensor], norm: float) -> bool:
    """Shorten Δ = w − wᵗ to a norm, in place: w = wᵗ + Δ min(1, norm / ‖Δ‖); say whether it was longer.

    Args:
        parameters: name -> w.
        received: name -> wᵗ.
        norm: positive.

    References:
        McMahan et al. 2018, Learning Differentially Private Recurrent Language Models, arXiv 1710.06963 (FlatClip).
    """
    updates = {name: parameters[name] - received[name] for name in parameters}
    length = math.sqrt(squared_norm(list(updates.values())))
    if not length > norm:
        return False
    for name, update in updates.items():
        parameters[name].copy_(received[name] + update * (norm / length))
    return True
