"""The adapter of netrep, with a stand-in that has its interface: the library is not on PyPI."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from fedlayers.core.errors import UserError
from metrics.compare.measures.netrep import Netrep
from metrics.compare.measures.procrustes import Procrustes


class LinearMetric:
    """Angular Procrustes distance by definition; with ``fit_score``."""

    def __init__(self, alpha: float = 1.0, score_method: str = "angular") -> None:
        if score_method != "angular":
            raise ValueError("Expected angular")
        self.alpha = alpha

    def fit_score(self, x: np.ndarray, y: np.ndarray) -> float:
        assert x.dtype == y.dtype == np.float64 and x.ndim == y.ndim == 2
        if x.shape[1] == 3:
            raise np.linalg.LinAlgError("SVD did not converge\nat all")
        a, b = x - x.mean(0), y - y.mean(0)
        return float(np.arccos(np.linalg.svd(a.T @ b)[1].sum() / np.linalg.norm(a) / np.linalg.norm(b)))


class LinearCKA:
    """No ``fit_score``, a ``fit`` that does nothing."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> None:
        pass

    def score(self, x: np.ndarray, y: np.ndarray) -> float:
        return float(x.shape[1] + y.shape[1])


class PermutationMetric(LinearMetric):
    """Matches units."""


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    package, module = ModuleType("netrep"), ModuleType("netrep.metrics")
    for kind in (LinearMetric, LinearCKA, PermutationMetric):
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "netrep", package)
    monkeypatch.setitem(sys.modules, "netrep.metrics", module)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


@pytest.mark.usefixtures("library")
def test_a_metric_with_fit_score_is_called_with_arrays() -> None:
    items = [normal(seed, 30, 5) for seed in range(3)]
    pairs = [(0, 1), (0, 2)]
    (found,) = Netrep("netrep.metrics.LinearMetric", {"alpha": 1.0}).compare(items, pairs, 10, 0)
    (expected,) = Procrustes().compare(items, pairs, 0, 0)
    assert (found.metric, found.variant) == ("netrep_distance", "LinearMetric(alpha=1.0)")
    assert found.value == pytest.approx(expected.value, rel=1e-9)
    for column in (found.stderr, found.chance, found.chance_hi, found.p):
        assert column is not None and np.isnan(column).all()


@pytest.mark.usefixtures("library")
def test_a_metric_without_fit_score_is_fitted_and_scored() -> None:
    (found,) = Netrep("netrep.metrics.LinearCKA", {}).compare([normal(0, 9, 4, 2), normal(1, 9, 4, 7)], [(0, 1)], 0, 0)
    assert (found.variant, found.value.tolist()) == ("LinearCKA()", [9.0])


@pytest.mark.usefixtures("library")
def test_what_the_metric_cannot_do_costs_one_pair() -> None:
    items = [normal(0, 20, 3), normal(1, 20, 4), normal(2, 20, 5), torch.ones(20, 4)]
    (found,) = Netrep("netrep.metrics.LinearMetric", {}).compare(items, [(0, 1), (1, 2), (1, 3)], 0, 0)
    assert np.isnan(found.value).tolist() == [True, False, True]
    assert found.reasons[0] == "LinAlgError: SVD did not converge"
    assert found.reasons[2] == "a representation is the same for all examples"


@pytest.mark.usefixtures("library")
def test_units_that_may_have_been_rotated_are_not_matched() -> None:
    measure = Netrep("netrep.metrics.PermutationMetric", {})
    (found,) = measure.compare([normal(0, 20, 20), normal(1, 20, 20)], [(0, 1)], 0, 0)
    assert found.reasons == {0: "matching units needs more examples than units, got 20 and 20"}
    assert np.isfinite(measure.compare([normal(0, 20, 19), normal(1, 20, 19)], [(0, 1)], 0, 0)[0].value[0])


def test_a_missing_library_is_named_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "netrep", None)
    with pytest.raises(UserError, match=r"similarity.netrep needs .* pip install git\+https://github.com/ahwillia"):
        Netrep("netrep.metrics.LinearMetric", {"alpha": 1.0})


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    "name", ["LinearMetric", "netrep.metrics.Linear", "netrep.nothing.LinearMetric", "os.path.join"]
)
def test_a_name_that_is_no_class_of_netrep_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"similarity.netrep.metric must be the dotted name of .* got '{name}'"):
        Netrep(name, {})


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("arguments", [{"beta": 1.0}, {"score_method": "cosine"}])
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(
        UserError, match=r"similarity.netrep.arguments must be those of netrep.metrics.LinearMetric, got"
    ):
        Netrep("netrep.metrics.LinearMetric", arguments)
