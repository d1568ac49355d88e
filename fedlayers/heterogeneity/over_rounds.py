"""How a client's two models come to disagree: the stand-alone model against the federated one of every round."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from fedlayers.core.errors import UserError
from fedlayers.heterogeneity.two_models import TwoModels, probabilities
from fedlayers.opening.run import Run
from metrics.disagreement.per_record import record_disagreement


@dataclass(frozen=True)
class OverRounds:
    """What the federated models of T rounds say about a client's n records.

    Attributes:
        rounds: the rounds whose global model was kept, ascending, shape (T,).
        classes: which class each model predicts, shape (T, n).
        disagreement: the share of records that model and stand-alone model put into different classes, shape (T,).
        divergence: mean Jensen-Shannon divergence of the two, in nats, shape (T,).
        accuracy: of each model, shape (T,); NaN without labels.
        local_accuracy: of the stand-alone model; NaN without labels.
        null: the share of records that two stand-alone models of different seeds put into different classes; None where
            there is no second one.
    """

    rounds: np.ndarray
    classes: np.ndarray
    disagreement: np.ndarray
    divergence: np.ndarray
    accuracy: np.ndarray
    local_accuracy: float
    null: float | None


def over_rounds(
    run: Run, client: int, inputs: str = "local", progress: Callable[[float | None, str], None] = lambda *_: None
) -> OverRounds:
    """Return how a client's stand-alone model and the federated one disagree over the rounds.

    Args:
        run: the federated run.
        client: the client's number.
        inputs: which of its records, see :func:`fedlayers.heterogeneity.input_sets.records_of`.
        progress: told how much is done.

    Raises:
        UserError: the run has kept no global model, or has nothing to compare with.
    """
    two = TwoModels(run, client, None, inputs)
    kept = sorted({int(number) for number, owner in run.models.itertuples(index=False) if owner == "server"})
    if not kept:
        raise UserError(f"run {run.folder.name} has kept no global model: snapshots.rounds=[all] keeps them")
    alone = two.local_probabilities
    found = []
    for place, number in enumerate(kept):
        progress(place / len(kept), f"asking the model of round {number}, {place + 1} of {len(kept)}")
        together = probabilities(run.model(number), two.records.features)
        apart = record_disagreement(torch.from_numpy(alone), torch.from_numpy(together))
        predicted = together.argmax(1)
        found.append((predicted, float(apart.hard.double().mean()), float(apart.divergence.mean())))
    classes, hard, divergence = (np.array(column) for column in zip(*found, strict=True))
    local = alone.argmax(1)
    second = two.second_probabilities
    return OverRounds(
        rounds=np.array(kept),
        classes=classes,
        disagreement=hard,
        divergence=divergence,
        accuracy=_accuracy(two, classes),
        local_accuracy=float(_accuracy(two, local)),
        null=None if second is None else float((second.argmax(1) != local).mean()),
    )


def _accuracy(two: TwoModels, predicted: np.ndarray) -> np.ndarray:
    """Return the share of records whose class is predicted, of each row; NaN where nobody labelled them."""
    truth = two.records.truth
    found: np.ndarray = np.full(predicted.shape[:-1], np.nan)
    return found if truth is None else (predicted == truth.numpy()).mean(-1)
