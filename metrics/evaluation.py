"""How well a model predicts: loss, and scores from one confusion matrix, on a client's or server's examples."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from fedlayers.core.kinds.labels import SEVERAL_LABELS, is_label_set
from fedlayers.core.quantities import LossFacts
from fedlayers.core.records import MOMENTS, Row, Spectrum
from fedlayers.objectives.cross_entropy import CROSS_ENTROPY
from fedlayers.objectives.objective import Objective
from metrics.base import ClientView, ExampleSet, Facts, Measurement, Metric, measured
from metrics.classification import SCORES, scores_from_confusion
from metrics.predictions.label_sets import SET_SCORES, label_set_scores
from metrics.predictions.predicting import Predictions, evaluate_model, predictions_of

_BRODERSEN = "Brodersen et al. 2010, The balanced accuracy and its posterior distribution"
_GORODKIN = "Gorodkin 2004, Comparing two K-category assignments by a K-category correlation coefficient"
_OPITZ = "Opitz & Burst 2019, Macro F1 and Macro F1, arXiv 1911.03347"
_ZHANG = "Zhang & Zhou 2014, A Review on Multi-Label Learning Algorithms, IEEE TKDE 26"
_BESTGEN = "Bestgen 2015, Exact Expected Average Precision of the Random Baseline, arXiv 1506.06712"
_NO_LABELS = "0/0: no label holds for any example"
_ALIKE = "no standard error: all examples count alike"
_UNDEFINED = {"mcc": "0/0: the labels or the predictions are all of one class"}


class Evaluation(Metric):
    """Loss and scores of each client's model on its own examples, with the confusion matrix they come from.

    - loss: mean over examples of the run's objective, cross entropy in nats unless another one is chosen; stderr =
      standard deviation / √n.
    - accuracy, balanced_accuracy, macro_f1, weighted_f1, mcc: defined, with their standard errors and chance
      levels, in :func:`metrics.classification.scores_from_confusion` and
      :func:`metrics.statistics.score_errors.score_errors`.
    - confusion (spectra): one row for each class that is present: ``subject`` the true class, ``x`` the
      indices of the classes it was predicted as, ``y`` how often, ``n`` the row's sum. Rows of disjoint examples
      add up.

    Of label sets, where several labels of an example may hold, none of these but macro_f1 is defined, and there are
    subset_accuracy, hamming_loss, micro_f1 and average_precision beside it, with their errors and chance levels as in
    :func:`metrics.predictions.label_sets.label_set_scores`; where labels are in several groups, ``subject`` names the
    group that a row is about, and is empty for all labels together.

    ``n`` is the number of examples. A split without examples, or a model with outputs that are NaN or infinite,
    gives missing values with the reason.

    Args:
        splits: some of ``train``, ``val``, ``test``.
        rounds, moments: see :class:`metrics.base.Metric`.
    """

    facts = (
        LossFacts("loss", "nat", 0.0, math.inf, "lower", "Goodfellow et al. 2016, Deep Learning, ch. 6", cost="pass"),
        Facts("accuracy", "1", 0.0, 1.0, "higher", _BRODERSEN, cost="pass"),
        Facts("balanced_accuracy", "1", 0.0, 1.0, "higher", _BRODERSEN, cost="pass"),
        Facts("macro_f1", "1", 0.0, 1.0, "higher", _OPITZ, cost="pass"),
        Facts("weighted_f1", "1", 0.0, 1.0, "higher", _OPITZ, cost="pass"),
        Facts("mcc", "1", -1.0, 1.0, "higher", _GORODKIN, cost="pass", minimum_n=2),
        Facts("subset_accuracy", "1", 0.0, 1.0, "higher", _ZHANG, cost="pass"),
        Facts("hamming_loss", "1", 0.0, 1.0, "lower", _ZHANG, cost="pass"),
        Facts("micro_f1", "1", 0.0, 1.0, "higher", _ZHANG, cost="pass"),
        Facts("average_precision", "1", 0.0, 1.0, "higher", _BESTGEN, cost="pass"),
        Facts("confusion", "examples", 0.0, math.inf, "neutral", _GORODKIN, cost="pass"),
    )

    on_server = True
    repeats = True
    of_predictions = True

    def __init__(
        self,
        splits: Sequence[str] = ("val", "test"),
        rounds: Sequence[str | int] = ("all",),
        moments: Sequence[str] = MOMENTS,
    ) -> None:
        super().__init__(rounds, moments)
        if not splits:
            raise ValueError("splits must hold one or more of train, val, test, got []")
        for split in splits:
            if split not in ("train", "val", "test"):
                raise ValueError(f"splits must be some of train, val, test, got {split!r}")
        self.scopes = tuple(f"client_{split}" for split in splits)

    def client(self, view: ClientView) -> Measurement:
        """Evaluate the client's model on each of its splits, on the server the global one on its test set."""
        rows: list[Row] = []
        for scope in ("server_test",) if "server_test" in view.data else self.scopes:
            predictions = predictions_of(view, scope)
            rows += rows_of(predictions, view.classes, scope, view.label_groups) if predictions else _nothing(scope)
        return Measurement(rows)


def evaluation_rows(
    module: nn.Module,
    examples: ExampleSet,
    classes: Sequence[str],
    scope: str,
    *,
    batch_size: int = 128,
    device: torch.device | None = None,
    objective: Objective = CROSS_ENTROPY,
) -> list[Row]:
    """Return the rows of :class:`Evaluation` for any model and examples, such as the server's test set.

    Args:
        module: the model.
        examples: the examples; none gives missing values with that reason.
        classes: class names, in the order of the labels.
        scope: what the examples are, one of ``fedlayers.core.records.SCOPES``.
        batch_size: examples a forward pass.
        device: where the model is; the CPU by default.
        objective: whose loss is told.
    """
    if not len(examples):
        return _nothing(scope)
    where = device or torch.device("cpu")
    found = evaluate_model(module, examples, len(classes), batch_size, where, objective=objective)
    return rows_of(found, classes, scope)


def rows_of(
    predictions: Predictions, classes: Sequence[str], scope: str, label_groups: Sequence[str] = ()
) -> list[Row]:
    """Return loss, scores and confusion matrix of some predictions as rows.

    Args:
        predictions: what a model says.
        classes: class names, in the order of the labels.
        scope: what the examples are.
        label_groups: of label sets, the group of each label; none if there is one group.
    """
    n = len(predictions.labels)
    if predictions.unusable:
        reason = f"{predictions.unusable} of {n} examples have outputs that are NaN or infinite"
        return [measured(name, math.nan, reason, scope=scope, n=n) for name in ("loss", *SCORES)]
    error = float(predictions.losses.std()) / math.sqrt(n) if n > 1 else None
    wrong = int((~predictions.losses.isfinite()).sum())
    reason = f"objective {predictions.objective} gave NaN or an infinite loss for {wrong} of {n} examples"
    rows: list[Row] = [measured("loss", float(predictions.losses.mean()), reason, scope=scope, n=n, stderr=error)]
    if is_label_set(predictions.labels):
        return rows + _set_rows(predictions, scope, label_groups)
    for name, score in scores_from_confusion(predictions.confusion).items():
        extra = {"stderr": score.stderr, "chance": score.chance, "chance_hi": score.chance_hi}
        rows.append(measured(name, score.value, _UNDEFINED.get(name, ""), scope=scope, n=n, **extra))
    return rows + _confusion_rows(predictions.confusion, classes, scope)


def _set_rows(predictions: Predictions, scope: str, label_groups: Sequence[str]) -> list[Row]:
    """Return the scores of label sets, those of each group of labels after those of all."""
    n, labels, outputs = len(predictions.labels), predictions.labels, predictions.logits
    known: dict[str | None, list[int]] = {None: list(range(labels.shape[1]))}
    for place, of_label in enumerate(label_groups):
        known.setdefault(of_label, []).append(place)
    rows: list[Row] = [
        measured(name, math.nan, SEVERAL_LABELS, scope=scope, n=n) for name in SCORES if name not in SET_SCORES
    ]
    for group, own in known.items():
        for name, score in label_set_scores(labels[:, own], outputs[:, own], predictions.threshold).items():
            numbers: dict[str, Any] = {"stderr": score.stderr, "chance": score.chance, "n": n}
            row = measured(name, score.value, _NO_LABELS, subject=group, scope=scope, **numbers)
            has_reason = row.status == "missing" or score.stderr is not None
            rows.append(row if has_reason else replace(row, reason=_ALIKE))
    return rows


def _confusion_rows(confusion: Tensor, classes: Sequence[str], scope: str) -> list[Row]:
    """Return the rows of classes that are present, without zero cells (nearly all, if there are many)."""
    rows: list[Row] = []
    for name, counts in zip(classes, confusion, strict=True):
        chosen = counts.nonzero().flatten()
        if len(chosen):
            values = counts[chosen].tolist()
            rows.append(Spectrum("confusion", chosen.tolist(), values, subject=name, scope=scope, n=sum(values)))
    return rows


def _nothing(scope: str) -> list[Row]:
    return [measured(name, math.nan, f"no examples in {scope}", scope=scope, n=0) for name in ("loss", *SCORES)]
