"""What the loop over batches asks of a learner."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from clients.batches import Batch
from clients.network import Network, Weights
from clients.schedules import Rate
from fedlayers.config.schema.training import Training
from fedlayers.core.schedule import Step
from fedlayers.objectives.cross_entropy import CROSS_ENTROPY
from fedlayers.objectives.objective import Objective
from fedlayers.objectives.step_losses import StepLosses

ExtraLoss = Callable[[Weights, Weights], Tensor | None]
AdjustGradients = Callable[[dict[str, Tensor], Weights, Weights], None]


@dataclass(frozen=True)
class Hooks:
    """What an algorithm changes about a step.

    Attributes:
        reference: name -> weights that the hooks compare with; None for those that training starts from.
        extra_loss: maps (parameters, reference) to a scalar that is added to every batch's loss, or to None.
        adjust_gradients: changes the mapping name -> gradient it is given, after (parameters, reference), in place,
            before clipping. It runs without autograd.
        adds_up: equal in hooks whose extra loss is one function, which of weights that are stacked along a leading axis
            of clients is the sum of theirs; None if it is asked client by client.
    """

    reference: Weights | None = None
    extra_loss: ExtraLoss | None = None
    adjust_gradients: AdjustGradients | None = None
    adds_up: object = None


@dataclass(frozen=True)
class Task:
    """What a client gives the learner that ``learner._target_`` names.

    Attributes:
        network: what is trained.
        training: optimizer and clipping.
        lr: the learning rate, or what gives that of each step.
        names: which weights are trained; None for all that require gradients.
        hooks: what an algorithm changes about a step.
        objective: what is minimised.
        seed: the run's.
        stream: the seed of what this training draws, one of its own for every client and round.
    """

    network: Network
    training: Training
    lr: Rate
    names: Sequence[str] | None = None
    hooks: Hooks = Hooks()
    objective: Objective = CROSS_ENTROPY
    seed: int = 0
    stream: int = 0


class Learner(ABC):
    """What a step does, and to which weights: one object for one local training, with its optimizers.

    A learner may hold several networks, train some of their weights, and be made of other learners.

    Args:
        networks: the networks it uses, each with a module of its own.
        trained: name -> the weights that it changes in place; names are its own choice where it has several networks.
    """

    def __init__(self, networks: Sequence[Network], trained: Weights) -> None:
        self.networks = tuple(networks)
        self.trained = trained
        self._is_watched = False
        # What it minimises, asked after the last step whether it gave numbers.
        self.losses: Sequence[StepLosses] = ()
        self._gradients: Weights = {}

    @classmethod
    def check_model(cls, module: nn.Module, features: Tensor, classes: int, **options: Any) -> list[str]:
        """Return what the user should know of training a model so, before the first round.

        Args:
            module: the model, in eval mode.
            features: two examples.
            classes: the number of classes.
            options: what stands under ``learner``.

        Raises:
            UserError: it cannot train that model.
        """
        return []

    @property
    def weights(self) -> Weights:
        """Name -> the weights that observers see: all of the only network, or those that are trained."""
        return self.networks[0].parameters if len(self.networks) == 1 else self.trained

    @abstractmethod
    def step(self, batch: Batch, step: Step) -> Tensor:
        """Take one step, and return the mean loss of the batch before it, a scalar without graph on the device.

        Args:
            batch: what to train on.
            step: which step of the local training it is, from 1.
        """

    def watch(self) -> None:
        """Keep the gradients of the next step until they are asked for."""
        self._is_watched = True

    def release(self) -> Weights:
        """Return the gradients of the last step by name, where they are kept, and forget them."""
        found, self._gradients = self._gradients, {}
        self._is_watched = False
        return found

    def state(self) -> dict[str, Tensor]:
        """Return what its optimizers remember, tensors by name, to go on from in a later training; {} if nothing."""
        return {}

    def load(self, state: Weights) -> None:  # noqa: B027
        """Go on from a state that :meth:`state` returned, whose tensors it takes over; what it lacks is fresh."""
