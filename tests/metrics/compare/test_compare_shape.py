"""Shape distances against netrep's values, principal angles, and the maps that they do not see."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from torch import Tensor

from metrics.compare.measures.procrustes import Procrustes
from metrics.compare.measures.shape import ShapeMetric
from tests.support.netrep_values import arrays

ARRAYS = arrays()
CASES = [(alpha, score) for alpha in (1.0, 0.5, 0.0) for score in ("angular", "euclidean")]
# netrep 0.0.2 (commit 0186b8a), LinearMetric(alpha, center_columns=True, score_method).fit_score in the order of CASES.
LINEAR_METRIC = {
    ("A", "A"): (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    ("A", "B"): (1.1327814878947793, 33.448440665507746, 1.12653496149662, 33.28407306874086, 1.1000257168391272,
                 32.58293681261363),
    ("A", "C"): (0.0, 46.1820024271543, 0.01682258378448817, 46.189262504993714, 0.0, 46.18200242715432),
    ("A", "D"): (0.5485861326392615, 99.16532699495407, 0.5356299902945002, 98.90738131264794, 0.0, 93.33922441651629),
    ("A", "E"): (0.43754853621249684, 14.880522389059868, 0.43860063407815314, 14.91284862128681, 0.4689467627456931,
                 15.846098410088313),
    ("A", "F"): (1.1957932927159047, 31.774163468126364, 1.1930055859772901, 31.67073273174065, 1.1815617705625754,
                 29.613329105924592),
    ("A", "H"): (0.09756447607480749, 3.0211860223714195, 0.09709381007793083, 3.006699278090453, 0.10111868103751238,
                 3.1305877867365925),
    ("A", "P"): (1.3057980556014586, 29.749960233005204, 1.2406868561952398, 29.128975458212246, 1.1486788011290279,
                 28.253178485625135),
    ("A", "R"): (1.2473660704726104, 31.592752541952525, 1.2094592877975339, 30.746302702507396, 1.1022631595364643,
                 24.77123801845312),
    ("P", "R"): (0.5775887379891261, 14.818931303401436, 0.6052575927363866, 15.165867442995832, 0.8402579386617576,
                 17.64904623023802),
    ("B", "F"): (1.1989972510670202, 32.360752067622926, 1.1958966652756655, 32.2510541230351, 1.1826062544089349,
                 30.224974457229667),
    ("W", "V"): (0.3308212587430725, 16.43172080544942, 0.2954587161913267, 15.700193229312323, 0.0,
                 8.491653504815812),
    ("L1", "L2"): (0.6460722380622897, 616.4057379845758, 0.6447558510693944, 615.473140180167, 0.6728162479791348,
                   635.3960540161569),
}  # fmt: skip
# The same, LinearMetric(alpha=1, score_method="euclidean") on all pairs of these.
NAMES = "ABCDEHP"
EUCLIDEAN = [
    [0.0, 33.448440665507746, 46.1820024271543, 99.16532699495407, 14.880522389059868, 3.0211860223714195,
     29.749960233005204],
    [33.448440665507746, 0.0, 69.71252458901161, 115.20634816148917, 36.72405278909808, 33.64699993540795,
     30.262003127178435],
    [46.1820024271543, 69.71252458901161, 0.0, 70.90614743520156, 47.601035094774055, 46.20965206100394,
     75.03832502321586],
    [99.16532699495407, 115.20634816148917, 70.90614743520156, 0.0, 99.20826362935851, 99.20408540929135,
     122.16236940953532],
    [14.880522389059868, 36.72405278909808, 47.601035094774055, 99.20826362935851, 0.0, 15.265405234512547,
     33.734180583287596],
    [3.0211860223714195, 33.64699993540795, 46.20965206100394, 99.20408540929135, 15.265405234512547, 0.0,
     29.925500531294468],
    [29.749960233005204, 30.262003127178435, 75.03832502321586, 122.16236940953532, 33.734180583287596,
     29.925500531294468, 0.0],
]  # fmt: skip
every_case = pytest.mark.parametrize(("alpha", "score"), CASES)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def distances(measure: ShapeMetric, *items: Tensor) -> np.ndarray:
    """Return the table of all pairs."""
    table = np.zeros((len(items), len(items)))
    for (a, b), (x, y) in zip(_pairs(len(items)), itertools.combinations(items, 2), strict=True):
        table[a, b] = table[b, a] = value(measure, x, y)
    return table


def _pairs(items: int) -> list[tuple[int, int]]:
    return list(itertools.combinations(range(items), 2))


def value(measure: ShapeMetric, x: Tensor, y: Tensor) -> float:
    """Return the value alone, without the time of a standard error."""
    (a, b) = (evaluated for evaluated in measure._evaluate([x, y], [(0, 1)]).items.values())
    return measure.value(a, b)[0]


# The large pair takes seconds; its euclidean distances follow from the angles.
@pytest.mark.parametrize(
    ("names", "alpha", "score"),
    [(names, *case) for names in LINEAR_METRIC for case in CASES if names != ("L1", "L2") or case[1] == "angular"],
)
def test_values_are_netreps(names: tuple[str, str], alpha: float, score: str) -> None:
    expected = LINEAR_METRIC[names][CASES.index((alpha, score))]
    x, y = (ARRAYS[name] for name in names)
    assert value(ShapeMetric(alpha, score), x, y) == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_the_table_is_netreps() -> None:
    found = distances(ShapeMetric(1.0, "euclidean"), *(ARRAYS[name] for name in NAMES))
    assert found == pytest.approx(np.array(EUCLIDEAN), rel=1e-9, abs=1e-6)


@every_case
def test_it_is_a_metric(alpha: float, score: str) -> None:
    items = [normal(99, 40, 6) + noise * normal(seed, 40, 6) for seed, noise in enumerate((0.1, 0.5, 1, 2, 4))]
    table = distances(ShapeMetric(alpha, score), *items, 2 * normal(50, 40, 6))
    assert (table[:, :, None] <= table[:, None, :] + table.T[None, :, :] + 1e-12).all()
    assert (table + np.eye(len(table)) > 0).all()


@pytest.mark.parametrize("score", ["angular", "euclidean"])
def test_only_alpha_0_does_not_see_linear_maps(score: str) -> None:
    x = normal(0, 60, 5)
    mapped = x @ normal(1, 5, 5)
    # The same total variance, which is kept.
    mapped = mapped * (x - x.mean(0)).norm() / (mapped - mapped.mean(0)).norm()
    assert value(ShapeMetric(0.0, score), x, mapped) == pytest.approx(0, abs=1e-6)
    assert value(ShapeMetric(0.5, score), x, mapped) > 0.1


@every_case
def test_zero_columns_change_nothing(alpha: float, score: str) -> None:
    x, y = normal(0, 40, 3), normal(1, 40, 7)
    padded = torch.cat([x, torch.zeros(40, 4)], 1)
    expected = value(ShapeMetric(alpha, score), padded, y)
    assert value(ShapeMetric(alpha, score), x, y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("alpha", [1.0, 0.5, 0.0])
def test_orthonormal_columns_have_the_mean_cosine_of_their_principal_angles(alpha: float) -> None:
    x, y = (torch.linalg.qr(item - item.mean(0)).Q for item in (normal(0, 30, 4), normal(1, 30, 4)))
    expected = math.acos(np.cos(subspace_angles(x.numpy(), y.numpy())).mean())
    assert value(ShapeMetric(alpha), x, y) == pytest.approx(expected, rel=1e-9)


def test_alpha_1_is_procrustes() -> None:
    x, y = normal(0, 30, 4), normal(1, 30, 6)
    (expected,) = Procrustes().compare([x, y], [(0, 1)], 20, 0)
    (found,) = ShapeMetric(1.0).compare([x, y], [(0, 1)], 20, 0)
    assert found.value == pytest.approx(expected.value, rel=1e-12)
    assert found.chance_hi == pytest.approx(expected.chance_hi, rel=1e-9)
    assert found.stderr == pytest.approx(expected.stderr, rel=1e-9)


def weighted_distance(x: np.ndarray, y: np.ndarray, weights: np.ndarray, alpha: float, score: str) -> float:
    """Return netrep's distance with examples counted as often as their weights say, from its definition."""
    sides, units = [], max(x.shape[1], y.shape[1])
    for raw in (x, y):
        padded = np.pad(raw, ((0, 0), (0, units - raw.shape[1])))
        rows = (padded - np.average(padded, 0, weights)) * np.sqrt(weights)[:, None]
        values, vectors = np.linalg.eigh(rows.T @ rows)
        values = np.maximum(values, 1e-7)
        kept = alpha + (1 - alpha) * values**-0.5
        scale = np.sqrt(values.sum() / (values * kept**2).sum())
        sides.append(scale * rows @ (vectors * kept) @ vectors.T)
    norms = [float(np.linalg.norm(side)) for side in sides]
    nuclear = float(np.linalg.norm(sides[0].T @ sides[1], "nuc"))
    if score == "angular":
        return math.acos(nuclear / norms[0] / norms[1])
    return math.sqrt(norms[0] ** 2 + norms[1] ** 2 - 2 * nuclear)


@every_case
def test_the_standard_error_is_made_of_derivatives_by_the_examples_weights(alpha: float, score: str) -> None:
    x, y = normal(0, 20, 3), normal(0, 20, 3) @ normal(1, 3, 5) + 2 * normal(2, 20, 5)
    step, pulls = 1e-5, []
    for example in range(20):
        change = step * np.eye(20)[example]
        above, below = (weighted_distance(x.numpy(), y.numpy(), 1 + side * change, alpha, score) for side in (1, -1))
        pulls.append((above - below) / (2 * step))
    (found,) = ShapeMetric(alpha, score).compare([x, y], [(0, 1)], 0, 0)
    assert found.value == pytest.approx([weighted_distance(x.numpy(), y.numpy(), np.ones(20), alpha, score)], rel=1e-9)
    assert found.stderr == pytest.approx([np.std(pulls, ddof=1) * math.sqrt(20)], rel=1e-6)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 100.0])
def test_directions_that_a_layer_does_not_have_are_not_compared(scale: float) -> None:
    # Four directions in sixteen units: what float32 leaves in the others is rounding.
    x = normal(0, 300, 4) @ normal(1, 4, 16)
    y = x @ normal(2, 16, 16)
    assert value(ShapeMetric(0.0), (scale * x).float(), y.float()) == pytest.approx(0, abs=1e-6)
    expected = value(ShapeMetric(0.0), x[:, :4], normal(3, 300, 5))
    assert value(ShapeMetric(0.0), (scale * x).float(), normal(3, 300, 5)) == pytest.approx(expected, abs=1e-6)


def test_half_way_between_depends_on_the_scale_as_documented() -> None:
    x, y = normal(0, 300, 4), normal(0, 300, 4) @ normal(1, 4, 4)
    found = [value(ShapeMetric(0.5), scale * x, scale * y) for scale in (1e-3, 1.0, 1e3)]
    ends = [value(ShapeMetric(alpha), x, y) for alpha in (0.0, 1.0)]
    # Σ x² far below 1: whitened; far above: not.
    assert ends[0] < 1e-6 < found[0] < found[1] < found[2]
    assert found[2] == pytest.approx(ends[1], abs=1e-3) and found[0] < 0.2 * ends[1]


def test_the_euclidean_distance_is_that_of_the_arrays_after_rotation() -> None:
    x = normal(0, 40, 5)
    turned = x @ torch.linalg.qr(normal(1, 5, 5)).Q
    centred = x - x.mean(0)
    assert value(ShapeMetric(1.0, "euclidean"), x, turned + 3) == pytest.approx(0, abs=1e-12)
    assert value(ShapeMetric(1.0, "euclidean"), x, 3 * turned) == pytest.approx(2 * float(centred.norm()))


def test_the_names_say_what_was_chosen() -> None:
    angular, euclidean = ShapeMetric(0.5), ShapeMetric(0.0, "euclidean")
    assert [fact.name for fact in angular.facts] == ["shape_distance"]
    assert [fact.name for fact in euclidean.facts] == ["size_and_shape_distance"]
    assert (angular.variant, euclidean.variant) == ("alpha=0.5, angular", "alpha=0, euclidean")


@pytest.mark.parametrize("alpha", [-0.1, 1.5, math.nan])
def test_alpha_outside_its_range_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=r"alpha must be in \[0, 1\], got"):
        ShapeMetric(alpha)


def test_an_unknown_score_is_refused() -> None:
    with pytest.raises(ValueError, match="score must be one of angular, euclidean, got 'cosine'"):
        ShapeMetric(1.0, "cosine")
