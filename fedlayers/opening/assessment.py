"""How good a run's model is, found out again from the run's folder: which class was taken for which, and how often."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import nn

from fedlayers.core.errors import UserError
from fedlayers.core.federation import Examples
from fedlayers.core.kinds.labels import is_label_set
from fedlayers.core.stages import readouts_of, representations, stages
from fedlayers.data.server_examples import server_examples
from fedlayers.opening.run import Run
from metrics.predictions.predicting import evaluate_model
from metrics.statistics.class_scores import ClassReport, class_report

CHECKPOINTS = ("best", "last")
# As when a run tests its models: it is part of the last bits.
_BATCH = 128


@dataclass(frozen=True)
class Assessment:
    """What a model says about some examples, counted.

    Attributes:
        scope: what the examples are: ``server_test``, ``client_test`` or ``client_train``.
        client: whose they are; None for the server, or for all clients'.
        round: of the model.
        classes: their names, in the order of the labels.
        confusion: counts, shape (C, C), int64, rows true, columns predicted.
        stages: stage -> the share of examples whose class it predicts, in order; empty if only the network answers.
    """

    scope: str
    client: int | None
    round: int
    classes: tuple[str, ...]
    confusion: np.ndarray
    stages: Mapping[str, float] = field(default_factory=dict)

    @property
    def examples(self) -> int:
        """The number of examples."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """The share of examples whose class was predicted."""
        return self.report.accuracy

    @cached_property
    def report(self) -> ClassReport:
        """Precision, recall and F1 of every class, and their means."""
        return class_report(self.confusion, self.classes)


def assess(run: Run, checkpoint: str = "best") -> Assessment:
    """Return what the global model says about the server's test examples, those of the run's own tests.

    Args:
        run: the run.
        checkpoint: ``best`` (lowest loss on the clients' validation examples) or ``last``.

    Raises:
        UserError: the run has no such model or no test examples, or the model's outputs are no numbers.
    """
    number = model_round(run, checkpoint)
    examples = server_examples(run.config, run.data)
    if not len(examples):
        raise UserError(f"{run.folder} has no server_test examples (split.server_test=0): ask for its clients' instead")
    return _assessed(run, run.model(number), examples, "server_test", None, number)


def assess_clients(run: Run, checkpoint: str = "best") -> Iterator[Assessment]:
    """Yield what the global model says about the test examples of each client that has some; see :func:`assess`.

    Where there is no whole global model, as with ``algorithm=local``, each client's own is asked, if it was kept.
    """
    number = model_round(run, checkpoint)
    whole = all(layer["shared"] for layer in run.facts["layers"])
    owners = {owner for kept, owner in run.models.itertuples(index=False) if kept == number}
    shared = run.model(number) if whole and "server" in owners else None
    for client, examples in enumerate(run.data.splits["client_test"]):
        if len(examples):
            module = shared or run.model(number, client)
            yield _assessed(run, module, examples, "client_test", client, number)


def assess_training(run: Run, number: int) -> Assessment:
    """Return what the global model of a round says about all clients' training examples together.

    Raises:
        UserError: the run has no such model, or the model's outputs are no numbers.
    """
    return _assessed(run, run.model(number), run.data.pooled_train, "client_train", None, number)


def model_round(run: Run, checkpoint: str) -> int:
    """Return the round of a run's best or last model.

    Raises:
        UserError: there is none.
    """
    kept, best = [*run.models["round"]], run.facts.get("best")
    if checkpoint == "best" and best:
        return int(best["round"])
    if checkpoint == "best":
        raise UserError(f"{run.folder} has no best round, for it has no validation examples: ask for the last model")
    last = run.facts.get("round")
    if last is None or last not in kept:
        raise UserError(
            f"{run.folder} has not kept the model of its last round, {last}: let it run to its end with "
            "snapshots.rounds=[last], or ask for the best model"
        )
    return int(last)


def _assessed(
    run: Run, module: nn.Module, examples: Examples, scope: str, client: int | None, number: int
) -> Assessment:
    classes = tuple(run.facts["classes"])
    if is_label_set(examples.labels):
        raise UserError(
            f"{run.folder} must be of data with one class an example to be assessed, got label sets of "
            f"{len(classes)} labels; read their scores with fedlayers.read"
        )
    found = evaluate_model(module, examples, len(classes), _BATCH, torch.device("cpu"))
    if found.unusable:
        raise UserError(
            f"the model of round {number} of {run.folder} is no use: its outputs for {found.unusable} of "
            f"{len(examples)} examples are NaN or infinite; ask for another checkpoint"
        )
    return Assessment(scope, client, number, classes, found.confusion.numpy(), _of_stages(module, examples))


def _of_stages(module: nn.Module, examples: Examples) -> dict[str, float]:
    """Return the accuracy of each stage that answers by itself."""
    readouts = readouts_of(module)
    if readouts is None:
        return {}
    parts, right = stages(module), np.zeros(len(readouts), dtype=np.int64)
    with torch.inference_mode():
        for positions in torch.split(torch.arange(len(examples)), _BATCH):
            features, labels = examples.batch(positions)
            for place, (readout, h) in enumerate(zip(readouts, representations(parts, features), strict=True)):
                right[place] += int((readout(h).argmax(1) == labels).sum())
    return {part.name: int(count) / len(examples) for part, count in zip(parts, right, strict=True)}
