"""Each objective against formulas in NumPy, torch's own, and cross entropy where it reduces to that."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import jacrev, vmap

from fedlayers.config.options import config_dir
from fedlayers.core.errors import UserError
from fedlayers.objectives.balanced_softmax import BalancedSoftmax
from fedlayers.objectives.binary_cross_entropy import BinaryCrossEntropy
from fedlayers.objectives.class_weights import balancing_weights
from fedlayers.objectives.cross_entropy import CROSS_ENTROPY, CrossEntropy
from fedlayers.objectives.focal import Focal
from fedlayers.objectives.mse import MeanSquaredError
from fedlayers.objectives.objective import ClassCounts, Objective, ObjectiveError
from tests.support.metric_views import where

N, C = 7, 4
RANDOM = np.random.default_rng(0)
Z, Y = RANDOM.normal(size=(N, C)) * 3, RANDOM.integers(C, size=N)
OUTPUTS, LABELS = torch.from_numpy(Z), torch.from_numpy(Y)
CLIENT, FEDERATION = np.array([6, 3, 0, 1]), np.array([20, 10, 5, 5])
P = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)
OWN_P = P[np.arange(N), Y]
GIVEN = [0.5, 2.0, 1.0, 0.0]


def counts(client: Sequence[int] = CLIENT.tolist(), federation: Sequence[int] = FEDERATION.tolist()) -> ClassCounts:
    told = {"client": client, "federation": federation}
    return ClassCounts(len(client), lambda whose: torch.tensor(told[whose]))


def smoothed(epsilon: float, weights: np.ndarray) -> np.ndarray:
    return np.asarray((1 - epsilon) * weights[Y] * -np.log(OWN_P) - epsilon / C * (weights * np.log(P)).sum(1))


def focal(gamma: float, alpha: np.ndarray) -> np.ndarray:
    return np.asarray(-alpha[Y] * (1 - OWN_P) ** gamma * np.log(OWN_P))


def balanced(n: np.ndarray) -> np.ndarray:
    weighted = n * np.exp(Z)
    return np.asarray(-np.log(weighted[np.arange(N), Y] / weighted.sum(1)))


ONES = np.ones(C)
OF_CLIENT = 10 / (3 * np.array([6, 3, 1, 1]))  # 10 examples of 3 classes; the class that is absent counts as 1
OF_FEDERATION = 40 / (4 * FEDERATION)
CASES = [
    (CrossEntropy(), smoothed(0, ONES)),
    (CrossEntropy(label_smoothing=0.3), smoothed(0.3, ONES)),
    (CrossEntropy(0.3, GIVEN), smoothed(0.3, np.array(GIVEN))),
    (BinaryCrossEntropy(), np.logaddexp(0, np.where(Y[:, None] == np.arange(C), -Z, Z)).mean(1)),
    (CrossEntropy(class_weights="client"), smoothed(0, OF_CLIENT)),
    (CrossEntropy(0.1, "federation"), smoothed(0.1, OF_FEDERATION)),
    (Focal(), focal(2, ONES)),
    (Focal(0.5, GIVEN), focal(0.5, np.array(GIVEN))),
    (Focal(3.0, "client"), focal(3, OF_CLIENT)),
    (BalancedSoftmax(), balanced(np.array([6, 3, 1, 1]))),
    (BalancedSoftmax("federation"), balanced(FEDERATION)),
    (MeanSquaredError(), ((Z - np.eye(C)[Y]) ** 2).mean(1)),
]
EACH = pytest.mark.parametrize(("objective", "expected"), CASES, ids=lambda case: type(case).__name__)


@pytest.mark.usefixtures("device")
@EACH
def test_losses_are_those_of_the_formula(objective: Objective, expected: np.ndarray) -> None:
    bound = objective.bound(counts())
    outputs, labels = OUTPUTS.to(where[0]), LABELS.to(where[0])
    np.testing.assert_allclose(bound(outputs, labels).cpu(), expected, rtol=1e-12)
    assert bound.mean(outputs, labels).item() == pytest.approx(expected.mean(), rel=1e-12)
    np.testing.assert_allclose(bound(outputs.float(), labels).cpu(), expected, rtol=2e-5)


@EACH
def test_derivatives_are_those_of_differences_also_under_vmap(objective: Objective, expected: np.ndarray) -> None:
    bound = objective.bound(counts())
    some, labels = OUTPUTS[:3].clone().requires_grad_(), LABELS[:3]
    assert torch.autograd.gradcheck(lambda z: bound(z, labels), some)
    assert torch.autograd.gradgradcheck(lambda z: bound(z, labels), some)

    def one(z: Tensor, y: Tensor) -> Tensor:
        return bound(z[None], y[None]).sum()

    torch.testing.assert_close(vmap(one)(OUTPUTS, LABELS), bound(OUTPUTS, LABELS))
    blocks = vmap(jacrev(jacrev(one)))(OUTPUTS[:2], LABELS[:2])
    alone = [jacrev(jacrev(one))(z, y) for z, y in zip(OUTPUTS[:2], LABELS[:2], strict=True)]
    torch.testing.assert_close(blocks, torch.stack(alone))
    clients = vmap(bound.mean)(OUTPUTS[:6].reshape(2, 3, C), LABELS[:6].reshape(2, 3))
    torch.testing.assert_close(clients, bound(OUTPUTS[:6], LABELS[:6]).reshape(2, 3).mean(1))


@pytest.mark.parametrize(
    "objective",
    [
        CrossEntropy(class_weights=[1.0] * C),
        CrossEntropy(class_weights="client").bound(counts([5] * C)),
        Focal(0.0),
        Focal(0, [1, 1, 1, 1]),
        BalancedSoftmax().bound(counts([7] * C)),
        BalancedSoftmax().bound(counts([0] * C)),
    ],
)
def test_what_says_nothing_more_is_cross_entropy(objective: Objective) -> None:
    torch.testing.assert_close(objective(OUTPUTS, LABELS), CROSS_ENTROPY(OUTPUTS, LABELS))


def test_torch_agrees() -> None:
    weights = torch.tensor(GIVEN, dtype=torch.float64)
    own = CrossEntropy(0.2, GIVEN)(OUTPUTS, LABELS)
    theirs = F.cross_entropy(OUTPUTS, LABELS, weight=weights, label_smoothing=0.2, reduction="sum")
    torch.testing.assert_close(own.sum(), theirs)
    one_hot = F.one_hot(LABELS, C).double()
    torch.testing.assert_close(MeanSquaredError().mean(OUTPUTS, LABELS), F.mse_loss(OUTPUTS, one_hot))
    sets = torch.from_numpy(RANDOM.integers(2, size=(N, C)))
    theirs = F.binary_cross_entropy_with_logits(OUTPUTS, sets.double())
    torch.testing.assert_close(BinaryCrossEntropy().mean(OUTPUTS, sets), theirs)
    torch.testing.assert_close(MeanSquaredError().mean(OUTPUTS, sets), F.mse_loss(OUTPUTS, sets.double()))
    plain = F.cross_entropy(OUTPUTS.float(), LABELS)
    assert torch.equal(CROSS_ENTROPY.mean(OUTPUTS.float(), LABELS), plain)


def test_weights_of_counts_are_1_on_average_and_finite_for_absent_classes() -> None:
    n = torch.tensor([9, 0, 3, 0])
    weights = balancing_weights(n)
    assert (weights * n).sum() / n.sum() == 1 and weights[0] * 9 == weights[2] * 3 and weights[1] == 6
    assert balancing_weights(torch.zeros(3, dtype=torch.int64)).tolist() == [0.0] * 3
    for objective in (CrossEntropy(class_weights="client"), Focal(alpha="client"), BalancedSoftmax()):
        bound = objective.bound(counts([9, 0, 3, 0]))
        assert bool(bound(OUTPUTS, torch.full((N,), 1)).isfinite().all())


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0, 6.0])
def test_focal_loss_has_derivatives_where_an_example_is_certain(gamma: float) -> None:
    certain = torch.tensor([[1e4, 0.0, -3.0], [60.0, 0.0, 0.0], [-1e4, 0.0, 0.0]])
    labels, objective = torch.zeros(3, dtype=torch.int64), Focal(gamma)
    slopes = torch.func.grad(lambda z: objective(z, labels).sum())(certain)
    curvature = jacrev(jacrev(lambda z: objective(z, labels).sum()))(certain)
    assert bool(slopes.isfinite().all()) and bool(curvature.isfinite().all())


@pytest.mark.parametrize("objective", [CrossEntropy(0.1), Focal(2.0), BalancedSoftmax(), MeanSquaredError()])
@pytest.mark.parametrize("classes", [1, 2])
def test_few_classes_are_no_exception(objective: Objective, classes: int) -> None:
    outputs = torch.randn(5, classes, generator=torch.Generator().manual_seed(0), requires_grad=True)
    losses = objective.bound(counts([3] * classes, [3] * classes))(outputs, torch.zeros(5, dtype=torch.int64))
    (slopes,) = torch.autograd.grad(losses.sum(), outputs)
    assert bool(losses.isfinite().all() and slopes.isfinite().all())
    assert classes == 2 or isinstance(objective, MeanSquaredError | BinaryCrossEntropy) or not bool(losses.any())


def test_weights_are_copied_once_a_precision_and_serve_autograd_after_inference() -> None:
    objective = CrossEntropy(class_weights=GIVEN)
    with torch.inference_mode():
        objective(OUTPUTS, LABELS)
    outputs = OUTPUTS.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(objective.mean(outputs, LABELS), outputs)
    assert bool(slopes.isfinite().all())


@pytest.mark.parametrize(
    "objective", [CrossEntropy(class_weights="client"), Focal(alpha="federation"), BalancedSoftmax()]
)
def test_what_needs_counts_says_so(objective: Objective) -> None:
    with pytest.raises(ObjectiveError, match=r"must be bound to training counts before use, got .*; call bound"):
        objective(OUTPUTS, LABELS)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: CrossEntropy(1.0), "objective.label_smoothing must be in [0, 1), got 1.0"),
        (lambda: CrossEntropy(float("nan")), "objective.label_smoothing must be in [0, 1), got nan"),
        (lambda: CrossEntropy(class_weights="clients"), "objective.class_weights must be one weight for each class, "),
        (lambda: CrossEntropy(class_weights=[1, -1]), "not all 0, or client, federation or null, got [1, -1]"),
        (lambda: CrossEntropy(class_weights=[0, 0]), "objective.class_weights must be one weight"),
        (lambda: CrossEntropy(class_weights=[]), "objective.class_weights must be one weight"),
        (lambda: CrossEntropy(class_weights=[1, 1]).bound(counts()), "weight for each of 4 classes, got [1, 1]"),
        (lambda: Focal(-1.0), "objective.gamma must be 0 or more (0 is cross entropy), got -1.0"),
        (lambda: Focal(alpha=[1.0, float("inf")]), "objective.alpha must be one weight for each class"),
        (lambda: Focal(alpha=[1.0]).bound(counts()), "objective.alpha must be one weight for each of 4 classes, got"),
        (lambda: BalancedSoftmax("server"), "objective.counts must be one of client, federation, got 'server'"),
    ],
)
def test_bad_arguments_are_a_sentence(make: object, sentence: str) -> None:
    assert callable(make)
    with pytest.raises(UserError, match=re.escape(sentence)):
        make()


def test_there_is_a_case_for_every_option() -> None:
    files = Path(config_dir(), "objective").iterdir()
    named = [re.search(r"_target_: .*\.(\w+)", file.read_text()) for file in files]
    assert {found[1] for found in named if found} == {type(objective).__name__ for objective, _ in CASES}
