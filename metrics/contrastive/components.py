"""Contrastive principal components: what a target set varies in and a background set does not."""

from dataclasses import dataclass, replace

from torch import Tensor

from metrics.array_arguments import Array, as_tensor
from metrics.contrastive.alpha import choose_alpha
from metrics.contrastive.covariances import Centre, CovariancePair
from metrics.contrastive.signs import aligned_signs


@dataclass(frozen=True)
class ContrastiveComponents:
    """A fit of contrastive PCA.

    Attributes:
        components: orthonormal loadings, a component a row, shape (k, d), float64.
        values: vᵀ (C_X − α C_B) v of each, descending, shape (k,); negative where the background varies more.
        target_variance: vᵀ C_X v of each, shape (k,).
        background_variance: vᵀ C_B v of each, shape (k,).
        alpha: the contrast α.
        mean: of the target, shape (d,).
    """

    components: Tensor
    values: Tensor
    target_variance: Tensor
    background_variance: Tensor
    alpha: float
    mean: Tensor

    def transform(self, records: Tensor) -> Tensor:
        """Return the scores of records: (x − mean of the target) · v.

        Args:
            records: shape (n, d).

        Returns:
            Shape (n, k), float64.
        """
        return (records.to(self.mean) - self.mean) @ self.components.T

    def aligned(self, reference: "ContrastiveComponents") -> "ContrastiveComponents":
        """Return the same fit with the signs of another, such as that of the round before."""
        return replace(self, components=aligned_signs(self.components, reference.components))


def contrastive_pca(
    target: Array, background: Array, alpha: float | None = None, components: int = 2, centre: Centre = "own"
) -> ContrastiveComponents:
    """Return the directions with the most of the target's variance less α times the background's.

    The eigenvectors of the largest eigenvalues of C_X − α C_B among the directions in which either set varies, by a
    symmetric solver in float64. α = 0 is PCA of the target; as α grows, components come to lie where the background
    does not vary. Nothing is random, and signs follow a rule (:func:`metrics.contrastive.signs.with_signs`).

    Args:
        target: X, shape (n, d), n ≥ 2.
        background: B, shape (m, d), m ≥ 2.
        alpha: α ≥ 0; None chooses it, see :func:`metrics.contrastive.alpha.choose_alpha`.
        components: k, at most the number of directions in which the records vary.
        centre: what B is centred by: its ``own`` mean, or, as in HetVis, that of the ``target``.

    Raises:
        ValueError: an argument is out of its range, or the sets do not go together.

    References:
        Abid, Zhang, Bagaria & Zou 2018, Exploring patterns enriched in a dataset with contrastive principal component
        analysis, Nature Communications 9; Wang et al. 2022, HetVis, arXiv 2208.07491.

    Examples:
        >>> import numpy as np
        >>> generator = np.random.default_rng(0)
        >>> both = generator.normal(size=(800, 3)) * [9.0, 1.0, 1.0]  # the first feature varies in both sets
        >>> target, background = both[:400] * [1.0, 4.0, 1.0], both[400:]
        >>> abs(contrastive_pca(target, background, alpha=0.0, components=1).components).round(decimals=1).tolist()
        [[1.0, 0.0, 0.0]]
        >>> abs(contrastive_pca(target, background, alpha=2.0, components=1).components).round(decimals=1).tolist()
        [[0.0, 1.0, 0.0]]
    """
    pair = CovariancePair.of(as_tensor(target, "target"), as_tensor(background, "background"), centre)
    pair.check_components(components)
    return fitted(pair, choose_alpha(pair, components).alpha if alpha is None else alpha, components)


def fitted(pair: CovariancePair, alpha: float, components: int) -> ContrastiveComponents:
    """Return the components of a pair of covariances.

    Raises:
        ValueError: ``alpha`` is negative or not finite.
    """
    if not 0 <= alpha < float("inf"):
        raise ValueError(f"alpha must be 0 or more and finite, got {alpha}")
    values, vectors = pair.leading(alpha, components)
    of_target, of_background = (((vectors @ part) * vectors).sum(1) for part in (pair.target, pair.background))
    loadings = pair.loadings(vectors)
    return ContrastiveComponents(loadings, values, of_target, of_background, float(alpha), pair.mean)
