"""One client's local training as an object, so that several can be done at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from clients.batches import Augment
from clients.learners.base import Learner
from clients.observers import Observer
from clients.training import LocalResult, train_locally
from fedlayers.config.schema.training import Training
from metrics.base import ExampleSet


@dataclass(frozen=True)
class TrainingJob:
    """What :func:`clients.training.train_locally` takes."""

    learner: Learner
    examples: ExampleSet
    training: Training
    generator: torch.Generator
    augment: Augment | None = None
    observers: Sequence[Observer] = ()
    device: torch.device | str = "cpu"

    @property
    def steps(self) -> int:
        """The steps that it takes."""
        return self.training.length(len(self.examples)).steps

    def done_alone(self, remark: str = "") -> LocalResult:
        """Train this client by itself, and remark why it does so."""
        result = train_locally(
            self.learner,
            self.examples,
            self.training,
            generator=self.generator,
            augment=self.augment,
            observers=self.observers,
            device=self.device,
        )
        return replace(result, remark=remark) if remark else result
