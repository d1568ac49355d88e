"""Two models' answers about a client's records: the one it trained alone, and the federated one of a round."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from fedlayers.core.errors import UserError
from fedlayers.heterogeneity.input_sets import SampledRecords, records_of
from fedlayers.heterogeneity.local_records import LocalRecords, check_client
from fedlayers.heterogeneity.standalone import standalone_model, standalone_run
from fedlayers.opening.run import Run

_BATCH = 256


@dataclass(frozen=True)
class TwoModels:
    """What a client's stand-alone model and the federated model of a round say about the client's records.

    Attributes:
        run: the federated run.
        client: the client's number.
        round: of the federated model; None for the last one kept.
        inputs: which records, see :func:`fedlayers.heterogeneity.input_sets.records_of`.
    """

    run: Run
    client: int
    round: int | None = None
    inputs: str = "local"

    def __post_init__(self) -> None:
        """Check that the run has the client."""
        check_client(self.run, self.client)

    @cached_property
    def records(self) -> LocalRecords | SampledRecords:
        """The records."""
        return records_of(self.run, self.client, self.inputs)

    @cached_property
    def number(self) -> int:
        """The round of the federated model."""
        kept = sorted(number for number, owner in self.run.models.itertuples(index=False) if owner == "server")
        if not kept:
            raise UserError(f"run {self.run.folder.name} has kept no global model: snapshots.rounds=[all] keeps them")
        return kept[-1] if self.round is None else self.round

    @cached_property
    def local(self) -> nn.Module:
        """The model that the client trained alone."""
        return standalone_model(self.run, self.client)

    @cached_property
    def federated(self) -> nn.Module:
        """The global model of the round."""
        return self.run.model(self.number)

    @cached_property
    def second_probabilities(self) -> np.ndarray | None:
        """What a second stand-alone model, trained with another seed, gives each class; None where there is none."""
        if standalone_run(self.run, second=True) is None:
            return None
        return probabilities(standalone_model(self.run, self.client, second=True), self.records.features)

    @cached_property
    def local_probabilities(self) -> np.ndarray:
        """What the stand-alone model gives each class, shape (n, C), float64, rows sum to 1."""
        return probabilities(self.local, self.records.features)

    @cached_property
    def federated_probabilities(self) -> np.ndarray:
        """What the federated model gives each class, shape (n, C), float64."""
        return probabilities(self.federated, self.records.features)

    @property
    def federated_hits(self) -> np.ndarray | None:
        """Which records the federated model puts into their own class, shape (n,); None where nobody labelled them."""
        truth = self.records.truth
        return None if truth is None else self.federated_probabilities.argmax(1) == truth.numpy()

    @property
    def inconsistent(self) -> np.ndarray:
        """Which records the two models put into different classes, shape (n,), truth values."""
        found: np.ndarray = self.local_probabilities.argmax(1) != self.federated_probabilities.argmax(1)
        return found


def probabilities(module: nn.Module, features: Tensor) -> np.ndarray:
    """Return what a model gives each class, shape (n, C), float64.

    Args:
        module: maps features to logits.
        features: shape (n, *shape).

    Raises:
        UserError: an output is NaN or infinite.
    """
    with torch.inference_mode():
        logits = torch.cat([module(batch) for batch in torch.split(features, _BATCH)]).to(torch.float64)
    if not bool(torch.isfinite(logits).all()):
        raise UserError("the model's outputs are NaN or infinite: choose another round")
    return logits.softmax(1).numpy()
