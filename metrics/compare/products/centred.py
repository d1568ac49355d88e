"""A representation with its mean taken away, and what its Gram matrix needs to be centred without bias."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Centred:
    """The rows of one representation.

    Attributes:
        rows: X, shape (N, units), float64, each column with mean 0, scaled to ‖X‖_F² = N.
        examples: n; N = n · positions, and rows of one example are neighbours.
        precise: whether it came in float64 and has to stay in it.
        reason: why nothing can be compared with it, None if it can.
    """

    rows: Tensor
    examples: int
    precise: bool = True
    reason: str | None = None

    @cached_property
    def squares(self) -> Tensor:
        """The diagonal of the Gram matrix K = X Xᵀ: k_i = ‖x_i‖², shape (N,)."""
        return self.rows.square().sum(1)

    @cached_property
    def shift(self) -> Tensor:
        """The vector u of the U-centred Gram matrix Ã_ij = K_ij + u_i + u_j − c, shape (N,): u_i = k_i / (N − 2)."""
        return self.squares / (len(self.rows) - 2)

    @cached_property
    def constant(self) -> Tensor:
        """The scalar c of the U-centred Gram matrix: Σ k_i / ((N − 1)(N − 2))."""
        return self.shift.sum() / (len(self.rows) - 1)

    @cached_property
    def inner(self) -> Tensor:
        """Xᵀ X, shape (units, units)."""
        return self.rows.T @ self.rows

    def shuffled(self, order: Tensor) -> "Centred":
        """Return the same with its examples, each with all its rows, in another order (n,)."""
        by_example = self.rows.reshape(self.examples, -1, self.rows.shape[1])
        return replace(self, rows=by_example.index_select(0, order).flatten(0, 1))

    def by_example(self, values: Tensor) -> Tensor:
        """Return the sums of values of rows (…, N) over each example's rows, shape (…, n)."""
        return values.reshape(*values.shape[:-1], self.examples, -1).sum(-1)


def centred(features: Tensor) -> Centred:
    """Return a representation without its mean, in float64: what is left of a large mean must not be rounded.

    Args:
        features: shape (n, units), or (n, positions, units).

    Examples:
        >>> import torch
        >>> item = centred(torch.tensor([[1.0, 2.0], [3.0, 2.0], [5.0, 2.0], [7.0, 2.0]]))
        >>> item.rows[:, 0].round(decimals=3).tolist()
        [-1.342, -0.447, 0.447, 1.342]
    """
    raw = features.double().flatten(0, -2)
    rows = raw - raw.mean(0)
    energy = rows.square().sum()
    reason = None
    if len(features) < 4:
        reason = f"4 examples or more are needed, got {len(features)}"
    elif not bool(energy.isfinite()):
        reason = "a representation is not finite"
    elif not bool(energy > 1e-24 * raw.square().sum()):
        reason = "a representation is the same for all examples"
    scale = (energy / len(rows)).sqrt() if reason is None else torch.ones(())
    return Centred(rows / scale, len(features), features.dtype == torch.float64, reason)


def pair_reason(a: Centred, b: Centred) -> str | None:
    """Return why two representations cannot be compared, None if they can."""
    if a.reason or b.reason:
        return a.reason or b.reason
    if len(a.rows) != len(b.rows):
        ways = f"{len(a.rows) // a.examples} and {len(b.rows) // b.examples}"
        return f"the layers have {ways} positions; compare them with positions=pooled"
    return None
