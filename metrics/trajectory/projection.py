"""The server's way through parameter space in a plane, and the clients' updates in the same plane."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from metrics.array_arguments import Array, as_tensor
from metrics.contrastive.signs import aligned_signs, with_signs


@dataclass(frozen=True)
class TrajectoryPlane:
    """The plane in which the server's parameters move most.

    Attributes:
        mean: of the trajectory, shape (p,), float64.
        directions: its first principal directions, a row each, shape (k, p).
        shares: of the variance of the trajectory along each, shape (k,).
        server: the server's coordinates round by round, shape (T, k).
    """

    mean: Tensor
    directions: Tensor
    shares: Tensor
    server: Tensor

    def project(self, parameters: Array) -> Tensor:
        """Return the coordinates of parameters, shape (…, k).

        Args:
            parameters: shape (…, p).
        """
        return (as_tensor(parameters, "parameters").double().to(self.mean.device) - self.mean) @ self.directions.T

    def distance(self, parameters: Array) -> Tensor:
        """Return how far parameters lie off the plane, shape (…,): what a projection hides.

        Args:
            parameters: shape (…, p).
        """
        away = as_tensor(parameters, "parameters").double().to(self.mean.device) - self.mean
        inside = (away @ self.directions.T).square().sum(-1)
        return (away.square().sum(-1) - inside).clamp(min=0).sqrt()


def trajectory_plane(server: Array, components: int = 2, reference: TrajectoryPlane | None = None) -> TrajectoryPlane:
    """Return the plane of the server's trajectory: its principal components.

    Args:
        server: its parameters round by round, sampled or whole, shape (T, p), T ≥ 2.
        components: k; directions beyond those in which it moved have no share and are left at zero.
        reference: an earlier plane, to whose side the directions turn; None: signs by a rule.

    Raises:
        ValueError: there are fewer than two rounds, or they are not finite.

    References:
        Li et al. 2018, Visualizing the loss landscape of neural nets, arXiv 1712.09913, section 7; Wang et al. 2022,
        HetVis, arXiv 2208.07491.

    Examples:
        >>> import torch
        >>> plane = trajectory_plane(torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]))
        >>> plane.server[:, 0].tolist(), plane.shares.round(decimals=3).tolist()
        ([-1.0, 0.0, 1.0], [1.0, 0.0])
        >>> plane.project(torch.tensor([[3.0, 4.0]]))[0, 0].item(), plane.distance(torch.tensor([[3.0, 4.0]])).item()
        (2.0, 4.0)
    """
    rows = as_tensor(server, "server").double()
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"server must have shape (rounds, parameters), 2 rounds or more, got {tuple(rows.shape)}")
    if not bool(rows.isfinite().all()):
        raise ValueError("server must be finite, got NaN or infinity")
    mean = rows.mean(0)
    _, sizes, found = torch.linalg.svd(rows - mean, full_matrices=False)
    moved = sizes > 1e-12 * sizes[0]
    directions, squares = torch.zeros(components, rows.shape[1]).to(rows), torch.zeros(components).to(rows)
    kept = min(components, int(moved.sum()) if float(sizes[0]) > 0 else 0)
    directions[:kept], squares[:kept] = with_signs(found[:kept]), sizes[:kept].square()
    if reference is not None:
        directions = aligned_signs(directions, reference.directions)
    total = sizes.square().sum()
    return TrajectoryPlane(
        mean, directions, squares / total if float(total) > 0 else squares, (rows - mean) @ directions.T
    )


def update_cosines(
    before: Mapping[str, Array], after: Mapping[str, Array], client: Mapping[str, Array]
) -> dict[str, float]:
    """Return how far a client's update points the way of the server's: their cosine, for each layer.

    cos(w_client − w_before, w_after − w_before): 1 for the same way, −1 for the opposite; NaN where one did not move.

    Args:
        before: layer -> the server's parameters when the round began, shape (p,).
        after: likewise, when it ended.
        client: likewise, of the client after its local training.

    Examples:
        >>> import torch
        >>> zero, one = {"All": torch.zeros(2)}, {"All": torch.tensor([1.0, 0.0])}
        >>> round(update_cosines(zero, one, {"All": torch.tensor([3.0, 3.0])})["All"], 4)
        0.7071
    """
    found = {}
    for layer, start in before.items():
        origin = as_tensor(start, "before").double().flatten()
        own, common = (as_tensor(side[layer], "after").double().flatten() - origin for side in (client, after))
        norm = math.sqrt(float(own.square().sum()) * float(common.square().sum()))
        found[layer] = float((own * common).sum()) / norm if norm > 0 else math.nan
    return found
