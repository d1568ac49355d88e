"""What a model says about a client's examples, made once for all metrics that ask."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from fedlayers.core.kinds.labels import is_label_set
from fedlayers.objectives.cross_entropy import CROSS_ENTROPY
from fedlayers.objectives.objective import Objective
from metrics.classification import confusion_matrix
from metrics.cohorts.batches import measured_batches
from metrics.cohorts.jobs import MeasuringJob, done
from metrics.cohorts.models import Models, passes_pay
from metrics.views import ClientView, ExampleSet


@dataclass(frozen=True)
class Predictions:
    """What a model says about n examples.

    Attributes:
        labels: true classes, shape (n,), int64, on the CPU; of label sets 0 and 1, shape (n, C).
        logits: the model's outputs, shape (n, C), in the model's precision, on its device.
        losses: the loss of each example, shape (n,), float64, on the CPU.
        objective: whose losses they are.
        threshold: a label of a set is predicted where its output is larger: where its probability is above one half.
        confusion: counts, shape (C, C), int64, rows true, on the CPU; empty, (0, 0), of label sets.
        unusable: the number of examples with a logit that is NaN or infinite, which is no prediction: scores
            mean something only if this is 0.
    """

    labels: Tensor
    logits: Tensor
    losses: Tensor
    confusion: Tensor
    unusable: int
    objective: str
    threshold: float = 0.0


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
    return compared(logits, labels, num_classes, objective)


def compared(logits: Tensor, labels: Tensor, num_classes: int, objective: Objective) -> Predictions:
    """Return a model's outputs as predictions, compared with the labels.

    Args:
        logits: shape (n, C).
        labels: shape (n,), on the same device.
        num_classes: C.
        objective: whose losses they are.
    """
    known = labels.cpu()
    return Predictions(
        labels=known,
        logits=logits,
        losses=objective(logits.double(), labels).detach().cpu(),
        confusion=_confusion(known, logits.argmax(1).cpu(), num_classes),
        unusable=int((~logits.isfinite()).any(1).sum()),
        objective=objective.name,
        threshold=_threshold(objective),
    )


def _confusion(labels: Tensor, predicted: Tensor, classes: int) -> Tensor:
    if is_label_set(labels):
        return torch.zeros((0, 0), dtype=torch.int64)
    return confusion_matrix(labels, predicted, classes)


def _threshold(objective: Objective) -> float:
    return 0.0 if objective.takes_logits else 0.5


def known_answers(answers: Mapping[str, Predictions]) -> dict[Any, Any]:
    """Return what to put into a view's cache so that :func:`predictions_of` finds these, by scope."""
    return {("predictions", scope): found for scope, found in answers.items()}


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
        view.cache[key] = done(_Predicting(view, scope))
    found: Predictions = view.cache[key]
    return found


class _Predicting(MeasuringJob[Predictions]):
    """The predictions on one of a client's splits."""

    def __init__(self, view: ClientView, scope: str) -> None:
        examples = view.data[scope]
        super().__init__(view, len(examples))
        self.examples = examples

    @property
    def kind(self) -> object:
        return len(self.view.classes), self.view.batch_size

    @property
    def pays(self) -> bool:
        return passes_pay(self.view)

    def alone(self) -> Predictions:
        view, classes = self.view, len(self.view.classes)
        at_once = view.batches_at_once
        return evaluate_model(
            view.module, self.examples, classes, view.batch_size, view.device, at_once, view.objective
        )

    @classmethod
    def together(cls, jobs: Sequence[Self]) -> Sequence[Predictions]:
        view, counts = jobs[0].view, [job.size for job in jobs]
        models = Models.of([job.view for job in jobs])
        logits, labels = _stacked_logits(models, [job.examples for job in jobs], view.batch_size, view.device)
        losses = models.losses(logits.double(), labels, counts).cpu()
        predicted, bad = logits.argmax(2).cpu(), (~logits.isfinite()).any(2).cpu()
        known = labels.cpu()
        return [
            Predictions(
                labels=known[place, : job.size],
                logits=logits[place, : job.size],
                losses=losses[place, : job.size],
                confusion=_confusion(known[place, : job.size], predicted[place, : job.size], len(view.classes)),
                unusable=int(bad[place, : job.size].sum()),
                objective=job.view.objective.name,
                threshold=_threshold(job.view.objective),
            )
            for place, job in enumerate(jobs)
        ]


def _stacked_logits(
    models: Models, examples: Sequence[ExampleSet], batch_size: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the outputs (K, n, C) of models for their clients' examples, and the labels (K, n).

    n is the number of examples of the first, who has most; what stands behind others' own means nothing.
    """
    chosen = [torch.arange(len(own)) for own in examples]
    sizes = [len(part) for part in torch.split(chosen[0], batch_size)]
    logits, labels = [], []
    with torch.no_grad():
        for batch in measured_batches(examples, chosen, sizes, device):
            found = models.first(len(batch.counts)).outputs(batch.features)
            logits.append(_for_all(found, len(examples)))
            labels.append(_for_all(batch.labels, len(examples)))
    return torch.cat(logits, 1), torch.cat(labels, 1)


def _for_all(tensor: Tensor, count: int) -> Tensor:
    """Return a tensor (k, …), the first ones' of ``count`` clients, with zeros for the others."""
    missing = count - len(tensor)
    return torch.cat([tensor, tensor.new_zeros(missing, *tensor.shape[1:])]) if missing else tensor


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
