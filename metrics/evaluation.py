"""How well a model predicts: loss, and scores from one confusion matrix, on a client's or server's examples."""

import copy
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedlayers.core.quantities import LossFacts
from fedlayers.core.records import MOMENTS, Row, Spectrum
from fedlayers.objectives.cross_entropy import CROSS_ENTROPY
from fedlayers.objectives.objective import Objective
from metrics.base import ClientView, ExampleSet, Facts, Measurement, Metric, measured
from metrics.classification import SCORES, confusion_matrix, scores_from_confusion

_BRODERSEN = "Brodersen et al. 2010, The balanced accuracy and its posterior distribution"
_GORODKIN = "Gorodkin 2004, Comparing two K-category assignments by a K-category correlation coefficient"
_OPITZ = "Opitz & Burst 2019, Macro F1 and Macro F1, arXiv 1911.03347"
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
        Facts("confusion", "examples", 0.0, math.inf, "neutral", _GORODKIN, cost="pass"),
    )

    on_server = True
    repeats = True

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
            rows += rows_of(predictions, view.classes, scope) if predictions else _nothing(scope)
        return Measurement(rows)


@dataclass(frozen=True)
class Predictions:
    """What a model says about n examples.

    Attributes:
        labels: true classes, shape (n,), int64, on the CPU.
        logits: the model's outputs, shape (n, C), in the model's precision, on its device.
        losses: the loss of each example, shape (n,), float64, on the CPU.
        objective: whose losses they are.
        confusion: counts, shape (C, C), int64, rows true, on the CPU.
        unusable: the number of examples with a logit that is NaN or infinite, which is no prediction: scores
            mean something only if this is 0.
    """

    labels: Tensor
    logits: Tensor
    losses: Tensor
    confusion: Tensor
    unusable: int
    objective: str


def evaluate_model(
    module: nn.Module,
    examples: ExampleSet,
    num_classes: int,
    batch_size: int,
    device: torch.device,
    at_once: int = 1,
    objective: Objective = CROSS_ENTROPY,
) -> Predictions:
    """Run a model over examples in evaluation mode and compare its predictions with the labels.

    Args:
        module: maps features (b, *shape) to logits (b, num_classes); its mode is put back afterwards.
        examples: n ≥ 1 examples.
        num_classes: the number C of classes.
        batch_size: examples a forward pass; part of the numbers' last bits.
        device: where the model is.
        at_once: batches computed at the same time, each part of them by a copy of the model; changes no number.
        objective: whose losses they are.

    Returns:
        The predictions; nothing is read back from the device before the last batch.

    Raises:
        ValueError: if there are no examples, or not one output a class.
    """
    if not len(examples):
        raise ValueError("examples must hold at least one example, got none")
    batches = torch.split(torch.arange(len(examples)), batch_size)
    size = -(-len(batches) // at_once)
    parts = [batches[start : start + size] for start in range(0, len(batches), size)]
    with evaluation_mode(module):
        copies = [module, *(copy.deepcopy(module) for _ in parts[1:])]
        with ThreadPoolExecutor(len(parts)) as pool:
            done = pool.map(lambda own, part: _outputs(own, examples, part, device), copies[1:], parts[1:])
            found = [*_outputs(module, examples, parts[0], device), *(pair for part in done for pair in part)]
    # Made outside of inference mode, so that whoever shares these may use them under autograd.
    logits, labels = (torch.cat(pieces) for pieces in zip(*found, strict=True))
    if logits.shape[1:] != (num_classes,):
        raise ValueError(f"module must give {num_classes} logits an example, got {tuple(logits.shape[1:])}")
    known = labels.cpu()
    return Predictions(
        labels=known,
        logits=logits,
        losses=objective(logits.double(), labels).detach().cpu(),
        confusion=confusion_matrix(known, logits.argmax(1).cpu(), num_classes),
        unusable=int((~logits.isfinite()).any(1).sum()),
        objective=objective.name,
    )


def _outputs(
    module: nn.Module, examples: ExampleSet, batches: Sequence[Tensor], device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    """Return the logits and the labels of each batch of positions."""
    found = []
    with torch.inference_mode():
        for positions in batches:
            features, labels = examples.batch(positions)
            found.append((module(features.to(device, non_blocking=True)), labels.to(device, non_blocking=True)))
    return found


def predictions_of(view: ClientView, scope: str) -> Predictions | None:
    """Return the predictions on one of a client's splits, made once per view; None if it has no examples."""
    if scope not in view.data:
        return None
    key = ("predictions", scope)
    if key not in view.cache:
        examples, classes = view.data[scope], len(view.classes)
        at_once = view.batches_at_once
        view.cache[key] = evaluate_model(
            view.module, examples, classes, view.batch_size, view.device, at_once, view.objective
        )
    found: Predictions = view.cache[key]
    return found


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Put a module and its parts in evaluation mode for a block of code, then each back in its own mode."""
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


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


def rows_of(predictions: Predictions, classes: Sequence[str], scope: str) -> list[Row]:
    """Return loss, scores and confusion matrix of some predictions as rows."""
    n = len(predictions.labels)
    if predictions.unusable:
        reason = f"{predictions.unusable} of {n} examples have outputs that are NaN or infinite"
        return [measured(name, math.nan, reason, scope=scope, n=n) for name in ("loss", *SCORES)]
    error = float(predictions.losses.std()) / math.sqrt(n) if n > 1 else None
    wrong = int((~predictions.losses.isfinite()).sum())
    reason = f"objective {predictions.objective} gave NaN or an infinite loss for {wrong} of {n} examples"
    rows: list[Row] = [measured("loss", float(predictions.losses.mean()), reason, scope=scope, n=n, stderr=error)]
    for name, score in scores_from_confusion(predictions.confusion).items():
        extra = {"stderr": score.stderr, "chance": score.chance, "chance_hi": score.chance_hi}
        rows.append(measured(name, score.value, _UNDEFINED.get(name, ""), scope=scope, n=n, **extra))
    return rows + _confusion_rows(predictions.confusion, classes, scope)


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
