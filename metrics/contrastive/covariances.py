"""The covariances of two sets of records, in the coordinates of the directions in which either varies."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from metrics.contrastive.signs import with_signs

Centre = Literal["own", "target"]
CENTRES: tuple[Centre, ...] = get_args(Centre)
# Directions with less than this part of the largest direction's variance are rounding.
_NOISE = 1e-12


@dataclass(frozen=True)
class CovariancePair:
    """What contrastive components are made of.

    Attributes:
        target: C_X in the coordinates of ``basis``, shape (r, r), float64.
        background: C_B, likewise.
        basis: orthonormal directions that span the centred records of both sets, a row each, shape (r, d).
        mean: of the target, shape (d,).
    """

    target: Tensor
    background: Tensor
    basis: Tensor
    mean: Tensor

    @classmethod
    def of(cls, target: Tensor, background: Tensor, centre: Centre = "own") -> "CovariancePair":
        """Return the covariances of two sets of records, with n − 1 in the denominators.

        Args:
            target: X, shape (n, d), n ≥ 2.
            background: B, shape (m, d), m ≥ 2.
            centre: what B is centred by: its ``own`` mean, or that of the ``target``.

        Raises:
            ValueError: the sets do not go together, are too small or hold what is not finite, or neither varies.
        """
        x, b = _checked(target, background, centre)
        mean = x.mean(0)
        x, b = x - mean, b - (b.mean(0) if centre == "own" else mean)
        # Of a total variance of 1 each: a set of small numbers has directions, too.
        parts = [rows / size for rows in (x, b) if (size := rows.square().sum().sqrt()) > 0]
        if not parts:
            raise ValueError("target and background must vary, got the same record again and again")
        basis = _span(torch.cat(parts))
        inside, outside = x @ basis.T, b @ basis.T
        return cls(inside.T @ inside / (len(x) - 1), outside.T @ outside / (len(b) - 1), basis, mean)

    def leading(self, alpha: float, components: int) -> tuple[Tensor, Tensor]:
        """Return the largest eigenvalues of C_X − α C_B, descending, shape (k,), and their vectors, shape (k, r)."""
        contrast = self.target - alpha * self.background
        if contrast.is_cuda:
            values, vectors = torch.linalg.eigh(contrast)
            return values.flip(0)[:components], vectors.T.flip(0)[:components]
        from scipy.linalg import eigh

        # All of them take three times as long.
        size = len(contrast)
        found, columns = eigh(contrast.numpy(), subset_by_index=(size - components, size - 1))
        return torch.from_numpy(found[::-1].copy()), torch.from_numpy(columns.T[::-1].copy())

    def loadings(self, vectors: Tensor) -> Tensor:
        """Return vectors in the coordinates of ``basis`` as loadings of the features with signs, shape (k, d)."""
        return with_signs(vectors @ self.basis)

    def check_components(self, components: int) -> None:
        """Raise ValueError unless there are so many directions."""
        if not 1 <= components <= len(self.basis):
            raise ValueError(
                f"components must be in 1 … {len(self.basis)}, the number of directions in which the records vary, "
                f"got {components}"
            )


def _checked(target: Tensor, background: Tensor, centre: Centre) -> tuple[Tensor, Tensor]:
    if centre not in CENTRES:
        raise ValueError(f"centre must be one of {', '.join(CENTRES)}, got {centre!r}")
    sets = {"target": target, "background": background}
    for name, rows in sets.items():
        if rows.ndim != 2 or not rows.shape[1]:
            raise ValueError(f"{name} must have shape (records, features), got {tuple(rows.shape)}")
        if len(rows) < 2:
            raise ValueError(f"{name} must hold 2 records or more, got {len(rows)}")
        if not bool(rows.isfinite().all()):
            raise ValueError(f"{name} must be finite, got NaN or infinity in {int((~rows.isfinite()).sum())} places")
    if target.shape[1] != background.shape[1]:
        raise ValueError(
            f"background must have the target's {target.shape[1]} features, got {background.shape[1]} features"
        )
    return target.double(), background.double().to(target.device)


def _span(rows: Tensor) -> Tensor:
    """Return an orthonormal basis of the rows, a direction a row, shape (r, d)."""
    if len(rows) < rows.shape[1]:
        _, sizes, directions = torch.linalg.svd(rows, full_matrices=False)
        squares = sizes.square()
    else:
        values, vectors = torch.linalg.eigh(rows.T @ rows)
        squares, directions = values.flip(0), vectors.T.flip(0)
    basis: Tensor = directions[squares > _NOISE * squares[0]]
    return basis
