"""The one local training loop: a client's examples, a number of steps, weights changed in place."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from clients.optimizers import clipped, make_optimizer
from fedlayers.config.training import Length, Training
from fedlayers.core.checks import check
from fedlayers.core.errors import UserError
from fedlayers.core.schedule import Step
from metrics.base import ExampleSet

Weights = Mapping[str, Tensor]
Augment = Callable[[Tensor, torch.Generator], Tensor]
ExtraLoss = Callable[[Weights, Weights], Tensor | None]
AfterStep = Callable[[Step, Weights], None]
AdjustGradients = Callable[[dict[str, Tensor], Weights, Weights], None]


@dataclass(frozen=True)
class LocalResult:
    """What local training tells about itself.

    Attributes:
        loss: mean cross entropy over the examples seen, each at the weights of its step and without any extra
            loss; NaN or infinite if training diverged.
        examples_seen: examples trained on, counted once for every time they were seen.
        steps: optimizer steps.
    """

    loss: float
    examples_seen: int
    steps: int


@dataclass(frozen=True)
class _Hooks:
    """What an algorithm changes about a step."""

    reference: Weights
    extra_loss: ExtraLoss | None
    adjust_gradients: AdjustGradients | None
    after_step: AfterStep | None


def train_locally(
    module: nn.Module,
    parameters: dict[str, Tensor],
    buffers: dict[str, Tensor],
    examples: ExampleSet,
    training: Training,
    *,
    lr: float,
    generator: torch.Generator,
    augment: Augment | None = None,
    extra_loss: ExtraLoss | None = None,
    adjust_gradients: AdjustGradients | None = None,
    after_step: AfterStep | None = None,
    reference: Weights | None = None,
    device: torch.device | str = "cpu",
) -> LocalResult:
    """Train on a client's examples, changing ``parameters`` and ``buffers`` in place.

    Every epoch visits every example once, in an order drawn from ``generator``; ``training.epochs`` may be a
    fraction, and ``training.steps`` overrides it. The last batch of an epoch may be short. For a model with batch
    normalisation, which needs two examples, a lone last example joins the batch before it, and a client with one
    example (or ``training.batch_size=1``) trains with the running statistics.

    Args:
        module: the network. Its own tensors stay as they are, and so does its mode; dropout draws from torch's
            global generator. Parameters that require no gradient in the module are not trained.
        parameters: name -> weights on ``device``, all names of ``module.named_parameters()``.
        buffers: name -> buffers on ``device``, all names of ``module.named_buffers()``.
        examples: the client's training examples, at least one.
        training: optimizer (its state is fresh), batch size, epochs or steps, clipping.
        lr: this round's learning rate, see :func:`learning_rate`.
        generator: a CPU generator for the order of the examples and for ``augment``.
        augment: maps features (b, *shape) and the generator to features of the same shape.
        extra_loss: maps (parameters, reference) to a scalar that is added to every batch's loss, or to None.
        adjust_gradients: changes the mapping name -> gradient it is given, after (parameters, reference), in place,
            before clipping. It runs without autograd.
        after_step: called after every step with its number and the weights, which it leaves as found.
        reference: name -> weights that the first two hooks compare with; by default the weights training starts from.
        device: where to compute.

    Returns:
        Loss, number of examples seen and number of steps.

    Raises:
        UserError: if there are no examples or no parameters to train.
    """
    check(
        len(examples) > 0, "examples", "at least one to train on", len(examples), "leave out clients without examples"
    )
    trained = {n: parameters[n] for n, own in module.named_parameters() if own.requires_grad}
    if not trained:
        raise UserError(f"model must have parameters that require gradients, got none in {type(module).__name__}")
    if reference is None and (extra_loss or adjust_gradients):
        reference = {name: tensor.detach().clone() for name, tensor in parameters.items()}
    hooks = _Hooks(reference or {}, extra_loss, adjust_gradients, after_step)
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    with _training_mode(module), _leaves(trained):
        if min(len(examples), training.batch_size) == 1:
            for norm in norms:
                norm.eval()
        smallest = 2 if norms else 1
        positions = batches(len(examples), training, generator, smallest)
        length = training.length(len(examples), smallest)

        def loop(held: nn.Module) -> LocalResult:
            drawn = (_drawn(examples, chosen, augment, generator, device) for chosen in positions)
            return _descend(held, parameters, trained, drawn, training, lr, hooks, length)

        return _with_tensors(module, parameters, buffers, loop)


def batches(count: int, training: Training, generator: torch.Generator, smallest: int = 1) -> Iterator[Tensor]:
    """Yield the positions (b,) of one batch after another, a fresh order every epoch.

    Args:
        count: the number of examples.
        training: ``batch_size``, and ``steps`` or else ``epochs``, see :meth:`Training.length`.
        generator: draws the order.
        smallest: a shorter last batch joins the one before it, unless there is none.
    """
    size, length = training.batch_size, training.length(count, smallest)
    for step in range(length.steps):
        place = step % length.per_epoch
        if place == 0:
            order = torch.randperm(count, generator=generator)
        yield order[place * size : count if place == length.per_epoch - 1 else (place + 1) * size]


def learning_rate(training: Training, server_round: int, rounds: int) -> float:
    """Return the learning rate of a round, for r = round − 1 and T = ``schedule_rounds``.

    ``constant``: η. ``step``: η f^⌊r/T⌋. ``exponential``: η f^(r/T), T = 1 if not given. ``cosine``:
    η (1 + cos(π min(r/T, 1))) / 2, T = ``rounds`` if not given; f is ``schedule_factor``.

    Args:
        training: learning rate η and schedule.
        server_round: the round, from 1.
        rounds: the number of rounds of the run.
    """
    elapsed, length = server_round - 1, training.schedule_rounds
    if training.schedule == "step":
        return training.lr * math.pow(training.schedule_factor, elapsed // (length or 1))
    if training.schedule == "exponential":
        return training.lr * math.pow(training.schedule_factor, elapsed / (length or 1))
    if training.schedule == "cosine":
        return training.lr * (1 + math.cos(math.pi * min(elapsed / (length or rounds), 1))) / 2
    return training.lr


def _descend(
    module: nn.Module,
    parameters: Weights,
    trained: Weights,
    drawn: Iterator[tuple[Tensor, Tensor]],
    training: Training,
    lr: float,
    hooks: _Hooks,
    length: Length,
) -> LocalResult:
    """Take one optimizer step a batch; ``module`` holds ``parameters``, of which ``trained`` move."""
    leaves = list(trained.values())
    optimizer = make_optimizer(training, leaves, lr)
    total = torch.zeros((), dtype=torch.float64, device=leaves[0].device)
    seen = steps = 0
    for features, labels in drawn:
        loss = cross_entropy(module(features), labels)
        # Summed on the device: reading the number here would wait for the device at every step.
        total.add_(loss.detach(), alpha=len(labels))
        if hooks.extra_loss is not None:
            extra = hooks.extra_loss(parameters, hooks.reference)
            loss = loss if extra is None else loss + extra
        gradients = torch.autograd.grad(loss, leaves, materialize_grads=True)
        if hooks.adjust_gradients is not None:
            gradients = _adjusted(gradients, parameters, trained, hooks.adjust_gradients, hooks.reference)
        optimizer.step(gradients if training.clip_norm is None else clipped(gradients, training.clip_norm))
        seen += len(labels)
        steps += 1
        if hooks.after_step is not None:
            hooks.after_step(Step(steps, length.steps, length.per_epoch), parameters)
    return LocalResult(total.item() / seen, seen, steps)


def _adjusted(
    gradients: tuple[Tensor, ...], parameters: Weights, trained: Weights, adjust: AdjustGradients, reference: Weights
) -> tuple[Tensor, ...]:
    # Copies, because gradients of different weights may share memory and the hook may change them in place.
    named = {name: gradient.clone() for name, gradient in zip(trained, gradients, strict=True)}
    with torch.no_grad():
        adjust(named, parameters, reference)
    return tuple(named[name] for name in trained)


def _drawn(
    examples: ExampleSet,
    chosen: Tensor,
    augment: Augment | None,
    generator: torch.Generator,
    device: torch.device | str,
) -> tuple[Tensor, Tensor]:
    features, labels = examples.batch(chosen)
    if augment is not None:
        features = augment(features, generator)
    return features.to(device), labels.to(device)


class _Body(nn.Module):
    """A module whose forward pass is any block of code that uses the module inside."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, block: Callable[[nn.Module], LocalResult]) -> LocalResult:
        return block(self.module)


def _with_tensors(
    module: nn.Module,
    parameters: Weights,
    buffers: Weights,
    block: Callable[[nn.Module], LocalResult],
) -> LocalResult:
    """Run a block in which the module computes with the given tensors in place of its own.

    One ``functional_call`` around the whole loop instead of one a batch: the loss of a batch is the same function of
    parameters, buffers and batch, and tensors are swapped once.
    """
    given = {f"module.{name}": tensor for name, tensor in {**parameters, **buffers}.items()}
    result: LocalResult = functional_call(_Body(module), given, (block,), strict=True)
    for name, tensor in buffers.items():
        # A module may replace a buffer instead of changing it.
        if given[f"module.{name}"] is not tensor:
            tensor.copy_(given[f"module.{name}"])
    return result


@contextmanager
def _training_mode(module: nn.Module) -> Iterator[None]:
    before = [(part, part.training) for part in module.modules()]
    module.train()
    try:
        yield
    finally:
        for part, mode in before:
            part.training = mode


@contextmanager
def _leaves(tensors: Weights) -> Iterator[None]:
    """Let tensors require gradients for a block of code."""
    before = [tensor for tensor in tensors.values() if not tensor.requires_grad]
    for tensor in before:
        tensor.requires_grad_(True)
    try:
        yield
    finally:
        for tensor in before:
            tensor.requires_grad_(False)
