"""Scores against scikit-learn, chance levels against permutations, and models on examples."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch import Tensor, nn

from fedlayers.core.records import Record, Spectrum
from metrics.classification import SCORES, confusion_matrix, scores_from_confusion
from metrics.evaluation import Evaluation, evaluation_rows
from metrics.predictions.predicting import evaluate_model, predictions_of
from metrics.statistics.score_errors import score_slopes
from tests.support.metric_views import assert_in_range, client_view, network, some_rows, value_of

pytestmark = pytest.mark.usefixtures("device")

CLASSES = ("a", "b", "c", "d")


def drawn(n: int, classes: int, seed: int, true: list[int] | None = None) -> tuple[Tensor, Tensor]:
    """Return labels (of the given classes only) and predictions that are right about half of the time."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(true or list(range(classes)), n)
    predictions = np.where(rng.random(n) < 0.5, labels, rng.integers(classes, size=n))
    return torch.tensor(labels), torch.tensor(predictions)


@pytest.mark.parametrize("true", [None, [0, 2, 5], [3, 4]], ids=["all", "three", "two"])
@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_scikit_learn(seed: int, true: list[int] | None) -> None:
    labels, predictions = drawn(80, 6, seed, true)
    present = sorted(set(labels.tolist()))
    scores = scores_from_confusion(confusion_matrix(labels, predictions, 6))
    options = {"labels": present, "zero_division": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of predicted classes that are absent
        expected = {
            "accuracy": sk.accuracy_score(labels, predictions),
            "balanced_accuracy": sk.balanced_accuracy_score(labels, predictions),
            "macro_f1": sk.f1_score(labels, predictions, average="macro", **options),
            "weighted_f1": sk.f1_score(labels, predictions, average="weighted", **options),
            "mcc": sk.matthews_corrcoef(labels, predictions),
        }
    assert {name: score.value for name, score in scores.items()} == pytest.approx(expected, rel=1e-12)
    assert tuple(scores) == SCORES


def test_confusion_matrix_counts_rows_as_true_classes() -> None:
    labels, predictions = drawn(200, 5, 1)
    matrix = confusion_matrix(labels, predictions, 5)
    assert (matrix.numpy() == sk.confusion_matrix(labels, predictions, labels=range(5))).all()
    assert matrix.sum(1).tolist() == torch.bincount(labels, minlength=5).tolist()
    accuracy = scores_from_confusion(matrix)["accuracy"].value
    recall = matrix.diagonal() / matrix.sum(1)
    assert accuracy == pytest.approx(float((recall * matrix.sum(1)).sum() / 200))


def test_client_matrices_sum_to_the_global_one() -> None:
    labels, predictions = drawn(90, 4, 2)
    parts = [confusion_matrix(labels[part], predictions[part], 4) for part in (slice(0, 20), slice(20, 90))]
    assert torch.equal(parts[0] + parts[1], confusion_matrix(labels, predictions, 4))


def test_an_absent_class_is_left_out_even_if_predicted() -> None:
    labels, predictions = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 2, 1, 1])
    scores = scores_from_confusion(confusion_matrix(labels, predictions, 4))
    assert scores["balanced_accuracy"].value == pytest.approx((0.5 + 1) / 2)
    assert scores["macro_f1"].value == pytest.approx((2 / 3 + 1) / 2)


@pytest.mark.parametrize("predictions", [[1, 1, 1], [0, 1, 2]])
def test_mcc_of_one_class_is_undefined(predictions: list[int]) -> None:
    matrix = confusion_matrix(torch.tensor([1, 1, 1]), torch.tensor(predictions), 3)
    scores = scores_from_confusion(matrix)
    assert math.isnan(scores["mcc"].value)
    assert math.isfinite(scores["accuracy"].value)


def test_an_empty_matrix_has_no_scores() -> None:
    empty = scores_from_confusion(torch.zeros(3, 3, dtype=torch.int64))
    assert all(math.isnan(score.value) and score.stderr is None for score in empty.values())


def test_chance_level_is_that_of_permuted_predictions() -> None:
    labels, predictions = drawn(60, 5, 3, [0, 1, 4])
    scores = scores_from_confusion(confusion_matrix(labels, predictions, 5))
    generator = torch.Generator().manual_seed(0)
    permuted = [
        scores_from_confusion(confusion_matrix(labels, predictions[torch.randperm(60, generator=generator)], 5))
        for _ in range(2000)
    ]
    for name, score in scores.items():
        values = np.array([one[name].value for one in permuted])
        assert abs(values.mean() - score.chance) < 4 * values.std() / math.sqrt(2000)
        assert (score.chance_hi - score.chance) / 1.645 == pytest.approx(values.std(), rel=0.08)


def test_standard_errors_are_those_of_repeated_samples() -> None:
    found = [scores_from_confusion(confusion_matrix(*drawn(200, 4, seed), 4)) for seed in range(400)]
    for name in ("accuracy", "balanced_accuracy"):
        values = np.array([one[name].value for one in found])
        errors = np.array([one[name].stderr for one in found], dtype=float)
        assert errors.mean() == pytest.approx(values.std(), rel=0.12)


def test_slopes_of_the_scores_are_their_derivatives() -> None:
    """Against autograd, which differentiates the definitions; a cell of an absent class has no share to move."""
    matrix = torch.tensor([[5, 2, 0, 1], [1, 7, 2, 0], [0, 0, 0, 0], [1, 1, 0, 4]], dtype=torch.float64)

    def score(name: str, cells: Tensor) -> Tensor:
        n, true, predicted, hits = cells.sum(), cells.sum(1), cells.sum(0), cells.diagonal()
        f1 = torch.where(true > 0, 2 * hits / (true + predicted).clamp(min=1e-9), 0)
        if name == "mcc":
            scale = ((n**2 - predicted @ predicted) * (n**2 - true @ true)).sqrt()
            return (n * hits.sum() - predicted @ true) / scale
        return f1.sum() / 3 if name == "macro_f1" else (true * f1).sum() / n

    for name, found in score_slopes(matrix).items():
        expected = torch.autograd.functional.jacobian(lambda cells, name=name: score(name, cells), matrix)  # type: ignore[no-untyped-call]
        torch.testing.assert_close(found[[0, 1, 3]], matrix.sum() * expected[[0, 1, 3]])


def test_one_example_has_no_standard_error() -> None:
    one = scores_from_confusion(confusion_matrix(torch.tensor([0]), torch.tensor([0]), 2))
    assert one["accuracy"].value == 1 and one["accuracy"].stderr is None
    assert one["balanced_accuracy"].stderr is None


def test_bad_classes_are_refused() -> None:
    good = torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"labels must be in \[0, 2\), got values from 0 to 2"):
        confusion_matrix(torch.tensor([0, 2]), good, 2)
    with pytest.raises(ValueError, match=r"predictions must be in \[0, 2\), got values from -1 to 1"):
        confusion_matrix(good, torch.tensor([-1, 1]), 2)
    with pytest.raises(ValueError, match=r"labels and predictions must have equal shape, got \(2,\) and \(1,\)"):
        confusion_matrix(good, good[:1], 2)


def test_a_model_is_evaluated_in_evaluation_mode_and_left_as_found(device: torch.device) -> None:
    module = nn.Sequential(nn.Linear(6, 50), nn.Dropout(0.5), nn.BatchNorm1d(50), nn.Linear(50, 4)).to(device)
    module.train()
    module[0].eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    rows = some_rows(70)
    found = evaluate_model(module, rows, 4, 32, device)
    assert [part.training for part in module] == [False, True, True, True]
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    logits = module.eval()(rows.features).detach()
    torch.testing.assert_close(found.logits, logits)
    logits, labels = logits.cpu(), rows.labels.cpu()
    expected = nn.functional.cross_entropy(logits.double(), labels, reduction="none")
    torch.testing.assert_close(found.losses, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(found.confusion, confusion_matrix(labels, logits.argmax(1), 4))
    assert not found.logits.is_inference() and not found.labels.is_inference()


def test_the_batch_size_only_changes_last_bits() -> None:
    whole, parts = (evaluate_model(network(), some_rows(70), 4, size, torch.device("cpu")) for size in (70, 16))
    torch.testing.assert_close(whole.logits, parts.logits)
    assert torch.equal(whole.labels, parts.labels)


def test_wrong_outputs_and_no_examples_are_refused() -> None:
    with pytest.raises(ValueError, match=r"module must give 7 logits an example, got \(4,\)"):
        evaluate_model(network(), some_rows(5), 7, 16, torch.device("cpu"))
    with pytest.raises(ValueError, match="examples must hold at least one example, got none"):
        evaluate_model(network(), some_rows(0), 4, 16, torch.device("cpu"))


def test_rows_of_a_client() -> None:
    data = {"client_val": some_rows(30, 1), "client_test": some_rows(50, 2, classes=3)}
    view, metric = client_view(network(), data), Evaluation()
    rows = metric.client(view).rows
    assert_in_range(metric, rows)
    loss = value_of(rows, "loss", scope="client_test")
    predictions = predictions_of(view, "client_test")
    assert predictions is not None and loss.n == 50
    assert loss.value == pytest.approx(float(predictions.losses.mean()))
    assert loss.stderr == pytest.approx(float(predictions.losses.std()) / math.sqrt(50))
    assert predictions_of(view, "client_test") is predictions  # computed once
    matrix = np.zeros((4, 4), dtype=int)
    for row in rows:
        if isinstance(row, Spectrum) and row.scope == "client_test":
            true = CLASSES.index(row.subject or "")
            matrix[true, np.array(row.x, dtype=int)] = row.y
            assert row.n == sum(row.y)
    assert (matrix == predictions.confusion.numpy()).all()
    assert not matrix[3].any()  # class d is absent: no row


def test_a_split_without_examples_is_missing_with_that_reason() -> None:
    metric = Evaluation(splits=["val"])
    rows = metric.client(client_view(network(), {"client_test": some_rows(5)})).rows
    assert_in_range(metric, rows)
    assert {row.metric for row in rows} == {"loss", *SCORES}
    assert all(isinstance(row, Record) and row.reason == "no examples in client_val" and row.n == 0 for row in rows)
    assert evaluation_rows(network(), some_rows(0), CLASSES, "client_val") == rows


def test_outputs_that_are_not_finite_are_missing() -> None:
    module, metric = network(), Evaluation(splits=["test"])
    module[3].bias.data[1] = math.nan  # type: ignore[index]
    rows = metric.client(client_view(module, {"client_test": some_rows(5)})).rows
    assert_in_range(metric, rows)
    assert value_of(rows, "accuracy").reason == "5 of 5 examples have outputs that are NaN or infinite"


def test_one_class_gives_a_reason_for_mcc() -> None:
    rows = evaluation_rows(network(), some_rows(9, classes=1), CLASSES, "server_test")
    assert value_of(rows, "mcc").reason == "0/0: the labels or the predictions are all of one class"


def test_the_server_measures_its_own_test_set() -> None:
    rows, metric = some_rows(40), Evaluation()
    assert metric.on_server
    found = metric.client(client_view(network(), {"server_test": rows})).rows
    assert found == evaluation_rows(network(), rows, CLASSES, "server_test")
    assert {row.scope for row in found if isinstance(row, Record)} == {"server_test"}


def test_unknown_splits_are_refused() -> None:
    with pytest.raises(ValueError, match="splits must be some of train, val, test, got 'probe'"):
        Evaluation(splits=["probe"])
