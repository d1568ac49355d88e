"""Measures as functions of arrays: NumPy arrays and tensors alike, others refused in a sentence."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import metrics
from metrics.array_arguments import as_tensor
from metrics.compare.measures.cka import CKA
from metrics.compare.measures.procrustes import Procrustes
from metrics.geometry.label_information import label_information
from metrics.statistics.between_clients import decompose
from metrics.statistics.taylor_scores import taylor_score
from metrics.statistics.weight_statistics import inner_product, moments, squared_norm

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(60, 5))
ROTATION = np.linalg.qr(GENERATOR.normal(size=(5, 5)))[0]
Y = X @ ROTATION * 3 + 7
Z = GENERATOR.normal(size=(60, 4))
PAIRS: dict[str, Callable[..., float]] = {
    "cka": metrics.cka,
    "cka_distance": metrics.cka_distance,
    "procrustes": metrics.procrustes,
    "shape_distance": metrics.shape_distance,
    "svcca": metrics.svcca,
    "pwcca": metrics.pwcca,
    "rsa": metrics.rsa,
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_rotated_copy_is_the_same_and_another_is_not(name: str) -> None:
    measure = PAIRS[name]
    distance = name in ("cka_distance", "procrustes", "shape_distance")
    assert measure(X, Y) == pytest.approx(0.0 if distance else 1.0, abs=1e-6)
    assert (measure(X, Z) > 0.3) if distance else (measure(X, Z) < 0.7)
    assert measure(X, Z) == pytest.approx(measure(Z, X), abs=1e-9)


@pytest.mark.parametrize("name", PAIRS)
def test_arrays_and_tensors_alike(name: str, device: torch.device) -> None:
    expected = PAIRS[name](X, Z)
    there = [torch.from_numpy(values).to(device) for values in (X, Z)]
    assert PAIRS[name](*there) == PAIRS[name](there[0], Z) == pytest.approx(expected, rel=1e-12)
    for kind in (torch.from_numpy, np.asfortranarray, lambda a: a.astype(">f8"), lambda a: a[::-1][::-1]):
        assert PAIRS[name](kind(X), kind(Z)) == pytest.approx(expected, rel=1e-12)
    assert PAIRS[name](X.astype(np.float32), torch.from_numpy(Z).float()) == pytest.approx(expected, rel=1e-4)


def test_values_are_those_of_the_classes() -> None:
    tensors = [torch.from_numpy(X), torch.from_numpy(Z)]
    assert metrics.cka(X, Z) == CKA().values(tensors, [(0, 1)]).value[0]
    assert metrics.cka(X, Z, "biased") == CKA("biased").values(tensors, [(0, 1)]).value[0]
    (found,) = metrics.compare_representations(X, Z, Procrustes(), permutations=40)
    assert found.value[0] == metrics.procrustes(X, Z) and found.stderr is not None and found.chance is not None
    assert abs(float(found.chance[0]) - float(found.value[0])) < 0.1


def test_linear_cka_is_that_of_the_textbook() -> None:
    a, b = X - X.mean(0), Z - Z.mean(0)
    expected = np.sum((a.T @ b) ** 2) / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    assert metrics.cka(X, Z, "biased") == pytest.approx(expected, rel=1e-12)


def test_what_is_in_a_representation() -> None:
    eigenvalues = np.linalg.eigvalsh(np.cov(X.T))
    expected = eigenvalues.sum() ** 2 / np.sum(eigenvalues**2)
    assert metrics.participation_ratio(X, debiased=False) == pytest.approx(expected)
    assert expected < metrics.participation_ratio(torch.from_numpy(X)) < 6
    shares = eigenvalues / eigenvalues.sum()
    assert metrics.effective_rank(X) == pytest.approx(np.exp(-np.sum(shares * np.log(shares))))
    with pytest.raises(ValueError, match="x has no geometry: the output is the same for all examples"):
        metrics.effective_rank(np.ones((10, 3)))


@pytest.mark.parametrize(
    ("x", "y", "kind", "message"),
    [
        ([[1.0]], Z, TypeError, r"x must be a NumPy array or a tensor, got list; np.asarray makes an array of it"),
        (X, None, TypeError, r"y must be a NumPy array or a tensor, got NoneType"),
        (X.astype(str), Z, TypeError, r"x must hold real numbers, got an array of <U"),
        (X.astype(complex), Z, TypeError, r"x must hold real numbers, got an array of complex128"),
        (X[0], Z, ValueError, r"x must have shape \(n, units\), or \(n, positions, units\), .*, got \(5,\)"),
        (X[:, :0], Z, ValueError, r"x must have shape .* not be empty, got \(60, 0\)"),
        (X[:50], Z, ValueError, r"x and y must have a row for each of the same examples, got 50 and 60 rows"),
        (X[:3], Z[:3], ValueError, r"x and y cannot be compared: 4 examples or more are needed, got 3"),
        (np.full((9, 2), np.nan), Z[:9], ValueError, r"x and y cannot be compared: a representation is not finite"),
        (np.ones((9, 2)), Z[:9], ValueError, r"x and y cannot be compared: a representation is the same for all"),
    ],
)
def test_others_are_refused_in_a_sentence(x: Any, y: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        metrics.cka(x, y)


def test_confusion_matrix_takes_arrays() -> None:
    labels, predictions = np.array([0, 0, 1, 2], np.uint16), np.array([0, 1, 1, 2])
    expected = [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert metrics.confusion_matrix(labels, predictions).tolist() == expected
    assert metrics.confusion_matrix(torch.from_numpy(predictions).int(), labels, 4).shape == (4, 4)
    assert metrics.confusion_matrix(labels > 0, predictions > 0).tolist() == [[1, 1], [0, 2]]
    scores = metrics.scores_from_confusion(np.array(expected))
    assert scores["accuracy"].value == 0.75
    with pytest.raises(
        ValueError, match=r"predictions must be whole numbers, the classes, got torch.float64; take arg"
    ):
        metrics.confusion_matrix(labels, predictions / 2)
    with pytest.raises(TypeError, match="labels must be a NumPy array or a tensor, got list"):
        metrics.confusion_matrix([0, 1], predictions)  # type: ignore[arg-type]


def test_functions_on_weights_and_gradients_take_arrays(device: torch.device) -> None:
    arrays: Any = [X, Z]
    there = [torch.from_numpy(values).to(device) for values in (X, Z)]
    assert squared_norm(there) == pytest.approx(squared_norm(arrays), rel=1e-12)
    tensors = [torch.from_numpy(X), torch.from_numpy(Z)]
    assert squared_norm(arrays) == squared_norm(tensors) == pytest.approx(np.sum(X**2) + np.sum(Z**2))
    assert inner_product(arrays, arrays) == pytest.approx(squared_norm(tensors))
    assert moments(arrays) == moments(tensors)
    assert taylor_score(arrays, arrays) == taylor_score(tensors, tensors)
    codes: Any = np.array([0, 1, 1, 0])
    assert label_information(codes, codes) == label_information(torch.from_numpy(codes), torch.from_numpy(codes))
    with pytest.raises(TypeError, match=r"tensors must be a list of NumPy arrays or tensors, got int"):
        squared_norm(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"tensors\[1\] must be a NumPy array or a tensor, got float"):
        squared_norm([X, 1.0])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"deviations must be a NumPy array or a tensor, got list"):
        decompose([], torch.ones(1), torch.ones(1), torch.ones(1))  # type: ignore[arg-type]


def test_arrays_keep_their_numbers() -> None:
    assert as_tensor(np.array([2**16 - 1], np.uint16), "x").tolist() == [2**16 - 1]
    assert as_tensor(np.array([1.5], np.float16), "x").dtype == torch.float16
    assert as_tensor(np.array([[1, 2], [3, 4]], ">i4").T, "x").tolist() == [[1, 3], [2, 4]]
    assert not as_tensor(torch.ones(1, requires_grad=True), "x").requires_grad
