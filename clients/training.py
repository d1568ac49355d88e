"""The one loop over batches: a client's examples, a number of steps, a learner that takes them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from clients.batches import Augment, Batch, gathered, positions
from clients.learners.base import Learner
from clients.network import batch_norms, hold, leaves, training_mode
from clients.observers import Audience, Observer
from fedlayers.config.schema.training import Length, Training
from fedlayers.core.checks import check
from fedlayers.core.errors import UserError
from fedlayers.core.schedule import Step
from metrics.base import ExampleSet


@dataclass(frozen=True)
class LocalResult:
    """What local training tells about itself.

    Attributes:
        loss: mean loss over the examples seen, each at the weights of its step and without any extra
            loss; NaN or infinite if training diverged.
        examples_seen: examples trained on, counted once for every time they were seen.
        steps: optimizer steps.
        observed_s: how many seconds observers have looked.
        remark: what the user should know of how it went; told once in a run.
    """

    loss: float
    examples_seen: int
    steps: int
    observed_s: float = field(default=0.0, compare=False)
    remark: str = field(default="", compare=False)


def train_locally(
    learner: Learner,
    examples: ExampleSet,
    training: Training,
    *,
    generator: torch.Generator,
    augment: Augment | None = None,
    observers: Iterable[Observer] = (),
    device: torch.device | str = "cpu",
) -> LocalResult:
    """Train on a client's examples: draw batches, let the learner take a step on each, and tell observers.

    Every epoch visits every example once, in an order drawn from ``generator``; ``training.epochs`` may be a
    fraction, and ``training.steps`` overrides it. The last batch of an epoch may be short. For a model with batch
    normalisation, which needs two examples, a lone last example joins the batch before it, and a client with one
    example (or ``training.batch_size=1``) trains with the running statistics.

    Args:
        learner: what a step does; it changes weights and buffers in place.
        examples: the client's training examples, at least one.
        training: batch size, epochs or steps.
        generator: a CPU generator for the order of the examples and for ``augment``.
        augment: maps features (b, *shape) and the generator to features of the same shape.
        observers: what looks on.
        device: where to compute.

    Returns:
        Loss, number of examples seen and number of steps.

    Raises:
        UserError: if there are no examples, or two of the learner's networks are one module.
        ObjectiveError: the objective gives something else than one loss for each example, or NaN for outputs that are
            numbers; the text names the step.
    """
    count = len(examples)
    check(count > 0, "examples", "at least one to train on", count, "leave out clients without examples")
    modules = [network.module for network in learner.networks]
    if len({id(module) for module in modules}) < len(modules):
        raise UserError(
            "networks of a learner must each have a module of their own, got one module twice; make the second "
            "network with twin"
        )
    smallest = 2 if any(map(batch_norms, modules)) else 1
    audience, length = Audience(observers), training.length(count, smallest)
    chosen = positions(count, training, generator, smallest)
    drawn = (gathered(examples, place, augment, generator, device) for place in chosen)
    total = torch.zeros((), dtype=torch.float64, device=device)
    alone = min(count, training.batch_size) == 1
    with training_mode(modules, frozen_norms=alone), leaves(list(learner.trained.values())):
        seen = hold(learner.networks, lambda: _descend(learner, drawn, length, audience, total))
    for losses in learner.losses:
        losses.check()
    return LocalResult(total.item() / seen, seen, length.steps, audience.seconds)


def _descend(learner: Learner, drawn: Iterator[Batch], length: Length, audience: Audience, total: Tensor) -> int:
    """Take one step a batch, add the losses of all examples to ``total``, and return how many there were."""
    audience.started(learner.weights, length)
    seen = 0
    for number, batch in enumerate(drawn, 1):
        step = Step(number, length.steps, length.per_epoch)
        watched = number == audience.next
        if watched:
            learner.watch()
        loss = learner.step(batch, step)
        # Summed on the device: reading the number here would wait for the device at every step.
        total.add_(loss, alpha=len(batch))
        seen += len(batch)
        if watched:
            audience.stepped(step, learner.release(), loss)
    return seen
