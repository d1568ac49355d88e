"""Contrastive PCA against PCA, dense algebra and what was planted."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from metrics.contrastive.alpha import CANDIDATES, choose_alpha, subspace_affinity
from metrics.contrastive.cluster import cluster_contrast, score_overlap
from metrics.contrastive.components import ContrastiveComponents, contrastive_pca
from metrics.contrastive.covariances import CovariancePair
from metrics.contrastive.signs import aligned_signs, with_signs


def normal(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)) @ np.diag(np.linspace(1, 3, d)) + 10


def dense(target: np.ndarray, background: np.ndarray, alpha: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues and eigenvectors of C_X − α C_B, as rows, largest first."""
    values, vectors = np.linalg.eigh(np.cov(target.T) - alpha * np.cov(background.T))
    return values[::-1][:count], vectors.T[::-1][:count]


def planted(seed: int = 0, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return a target and a background that share a strong direction; the target's own one is feature 3."""
    random = np.random.default_rng(seed)
    both = random.standard_normal((500, 8)) * [10, 8, 1, 1, 1, 1, 1, 1]
    target, background = both[:300], both[300:]
    target[:, 3] += 4 * random.choice([-1, 1], 300)
    return scale * target, scale * background


@pytest.mark.parametrize(("n", "d"), [(60, 7), (20, 50)])
def test_without_contrast_it_is_pca(n: int, d: int) -> None:
    target, background = normal(n, d), normal(n, d, 1)
    found = contrastive_pca(target, background, alpha=0.0, components=3)
    pca = PCA(3, svd_solver="full").fit(target)
    signs = np.sign((found.components.numpy() * pca.components_).sum(1))
    np.testing.assert_allclose(found.components.numpy(), signs[:, None] * pca.components_, atol=1e-10)
    np.testing.assert_allclose(found.values.numpy(), pca.explained_variance_, rtol=1e-10)
    np.testing.assert_allclose(
        found.transform(torch.from_numpy(target)).numpy() * signs, pca.transform(target), atol=1e-9
    )


@pytest.mark.parametrize("alpha", [0.5, 3.0])
def test_components_are_those_of_dense_algebra(alpha: float) -> None:
    target, background = normal(60, 7), normal(40, 7, 1)
    found = contrastive_pca(target, background, alpha, components=4)
    values, vectors = dense(target, background, alpha, 4)
    np.testing.assert_allclose(found.values.numpy(), values, atol=1e-10)
    np.testing.assert_allclose(np.abs((found.components.numpy() * vectors).sum(1)), 1, atol=1e-10)
    np.testing.assert_allclose((found.components @ found.components.T).numpy(), np.eye(4), atol=1e-12)
    assert torch.allclose(found.values, found.target_variance - alpha * found.background_variance, atol=1e-10)


def test_exchanged_sets_negate_the_spectrum() -> None:
    target, background = normal(60, 5), normal(40, 5, 1)
    one, other = (
        contrastive_pca(*sets, 1.0, components=5).values for sets in ((target, background), (background, target))
    )
    torch.testing.assert_close(one, -other.flip(0), rtol=0, atol=1e-10)


def test_a_large_contrast_leaves_nothing_of_the_background() -> None:
    target, background = normal(60, 6), normal(40, 6, 1)
    background[:, 2] = 7.0
    found = contrastive_pca(target, background, 1e6, components=1)
    assert float(found.background_variance) < 1e-6
    assert abs(float(found.components[0, 2])) == pytest.approx(1, abs=1e-5)


def test_constant_features_are_no_components_whatever_the_contrast() -> None:
    target, background = planted()
    margin = np.full((len(target), 3), 5.0), np.full((len(background), 3), 5.0)
    found = contrastive_pca(np.hstack([target, margin[0]]), np.hstack([background, margin[1]]), 1000.0)
    assert float(found.components[:, 8:].abs().max()) < 1e-10 and float(found.target_variance.min()) > 0


def test_the_background_is_centred_by_its_own_mean_unless_told_otherwise() -> None:
    target, background = normal(60, 5), normal(40, 5, 1)
    moved = background + 100.0
    own = [contrastive_pca(target, other, 2.0).components for other in (background, moved)]
    torch.testing.assert_close(*own, rtol=0, atol=1e-9)
    found = contrastive_pca(target, moved, 2.0, components=5, centre="target")
    shifted = moved - target.mean(0)
    expected = np.linalg.eigvalsh(np.cov(target.T) - 2 * shifted.T @ shifted / 39)[::-1]
    np.testing.assert_allclose(found.values.numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e-4])
@pytest.mark.parametrize("components", [1, 2, 3])
def test_the_selected_contrast_shows_what_was_planted(components: int, scale: float) -> None:
    target, background = planted(scale=scale)
    found = contrastive_pca(target, background, components=components)
    assert float(found.components[:, 3].square().sum()) > 0.9
    assert float(contrastive_pca(target, background, 0.0, components=1).components[0, 3].square()) < 0.1
    pair = CovariancePair.of(torch.from_numpy(target), torch.from_numpy(background))
    chosen = choose_alpha(pair, components)
    assert chosen == choose_alpha(pair, components) and chosen.alpha == found.alpha
    assert set(chosen.exemplars) <= set(CANDIDATES) and list(chosen.exemplars) == sorted(chosen.exemplars)
    assert chosen.alpha == chosen.exemplars[int(np.argmax(chosen.contrasts))]


def test_equal_sets_have_no_contrast_to_select() -> None:
    target = normal(60, 5)
    pair = CovariancePair.of(torch.from_numpy(target), torch.from_numpy(target))
    assert max(choose_alpha(pair).contrasts) == pytest.approx(0, abs=1e-12)


def test_affinity_is_the_product_of_cosines() -> None:
    from scipy.linalg import subspace_angles

    random = np.random.default_rng(0)
    spaces = [np.linalg.qr(random.standard_normal((6, 3)))[0].T for _ in range(4)]
    found = subspace_affinity(torch.from_numpy(np.stack(spaces))).numpy()
    expected = [[np.cos(subspace_angles(a.T, b.T)).prod() for b in spaces] for a in spaces]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_signs_follow_a_rule_and_another_fit() -> None:
    components = torch.tensor([[0.6, -0.8], [-0.5, 0.5]], dtype=torch.float64)
    assert with_signs(components).tolist() == [[-0.6, 0.8], [0.5, -0.5]]
    assert with_signs(-components).tolist() == with_signs(components).tolist()
    target, background = planted()
    first = contrastive_pca(target, background, 2.0)
    flipped = ContrastiveComponents(**{**vars(first), "components": -first.components})
    assert torch.equal(first.aligned(flipped).components, flipped.components)
    with pytest.raises(ValueError, match=r"reference must have shape \(2, 8\), got \(1, 8\)"):
        aligned_signs(first.components, first.components[:1])


def test_a_cluster_is_told_by_what_sets_it_apart() -> None:
    random = np.random.default_rng(0)
    records = random.standard_normal((400, 6)) * [9, 1, 1, 1, 1, 1]
    records[:40, 4] += 7
    for members in (np.arange(40), np.arange(400) < 40):
        found = cluster_contrast(records, members)
        assert abs(float(found.components[0, 4])) > 0.95
    expected = contrastive_pca(records, records[40:], 2.0)
    torch.testing.assert_close(cluster_contrast(records, np.arange(40), 2.0).components, expected.components)


def test_overlap_of_scores() -> None:
    random = np.random.default_rng(0)
    same, apart = random.standard_normal(2000), random.standard_normal(500) + 20
    assert score_overlap(same, random.standard_normal(2000)) > 0.9
    assert score_overlap(same, apart) == 0 and score_overlap(np.ones(3), np.ones(2)) == 1


def test_what_cannot_be_contrasted_is_told() -> None:
    target, background = normal(10, 4), normal(6, 4)
    for arguments, message in [
        ((target[:1], background), r"target must hold 2 records or more, got 1"),
        ((target, background[:1]), r"background must hold 2 records or more, got 1"),
        ((target, background[:, :2]), r"background must have the target's 4 features, got 2 features"),
        ((target[0], background), r"target must have shape \(records, features\), got \(4,\)"),
        ((target * np.nan, background), r"target must be finite, got NaN or infinity in 40 places"),
        ((np.ones((5, 3)), np.ones((4, 3))), r"target and background must vary"),
        ((target, background, -1.0), r"alpha must be 0 or more and finite, got -1"),
        ((target, background, 1.0, 5), r"components must be in 1 … 4, the number of directions .* got 5"),
        ((target, background, 1.0, 2, "mean"), r"centre must be one of own, target, got 'mean'"),
    ]:
        with pytest.raises(ValueError, match=message):
            contrastive_pca(*arguments)  # type: ignore[arg-type]
    for members, message in [
        (np.array([], int), r"members must leave 2 records or more outside of a cluster of 1 or more, got 0 of 10"),
        (np.arange(9), r"members must leave 2 records or more .* got 9 of 10"),
        (np.array([11]), r"members must be positions in 0 … 9, got 11 … 11"),
        (np.ones(3, bool), r"members must have a truth value for each of 10 records, got \(3,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            cluster_contrast(target, members)
