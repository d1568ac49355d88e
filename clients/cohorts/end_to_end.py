"""The learners of several clients as one: their weights stacked, one step for all, and nothing mixes."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from clients.cohorts.batches import StackedBatch
from clients.cohorts.optimizers import Factors, clipped_each, stacked_optimizer
from clients.learners.end_to_end import EndToEnd
from clients.network import Weights
from fedlayers.core.cohorts.stacked import stacked_outputs
from fedlayers.core.schedule import Step


def likeness(learner: EndToEnd) -> object:
    """Return what learners have in common that can be one: equal for those and for no others."""
    network = learner.network
    tensors = {**network.parameters, **network.buffers}
    shapes = {name: (tensor.shape, tensor.dtype, tensor.device) for name, tensor in tensors.items()}
    return type(network.module), shapes, list(learner.trained), learner.training


class StackedEndToEnd:
    """K learners of equal networks and settings as one.

    Every tensor has a leading axis of clients. A step may be of some of them, which stand side by side.

    Args:
        learners: those of the clients; their weights change when :meth:`give_back` says so.
        acting_for: makes the context in which a client's own hooks are called, such as its global random numbers.

    Attributes:
        failures: client -> what one of its hooks raised; its steps go on without them.
        gradients: name -> the gradients (n, …) of the last step.
        stays: whether other learners' weights will take these places.
    """

    def __init__(self, learners: Sequence[EndToEnd], acting_for: Callable[[int], AbstractContextManager[None]]) -> None:
        first = learners[0]
        self.acting_for = acting_for
        self.learners = learners
        self.module, self.clip_norm = first.network.module, first.clip_norm
        self.parameters = _stacked([learner.network.parameters for learner in learners])
        self.buffers = _stacked([learner.network.buffers for learner in learners])
        self.trained = list(first.trained)
        kept = [learner.optimizer.state() for learner in learners]
        self.optimizer = stacked_optimizer(first.training, [self.parameters[name] for name in self.trained], kept)
        self.failures: dict[int, Exception] = {}
        self.gradients: Mapping[str, Tensor] = {}
        self.stays = False
        self._common_term = _adds_up(learners)
        self._reference = _stacked([learner.reference for learner in learners]) if self._common_term else {}
        self._window = slice(0, 0)
        self._given: dict[str, Tensor] = {}

    def weights_of(self, client: int) -> Weights:
        """Return one client's weights by name: views that change with every step."""
        return {name: tensor[client] for name, tensor in self.parameters.items()}

    def slopes(self, batch: StackedBatch, steps: Sequence[Step], clients: slice) -> tuple[Tensor, Sequence[Tensor]]:
        """Return some clients' mean losses, shape (n,), without graph, and their gradients (n, …), and change nothing.

        Args:
            batch: what they train on.
            steps: which step it is of each of them.
            clients: which they are.
        """
        given = self._leaves(clients)
        losses = self._losses(given, batch, steps, clients)
        total = losses.sum()
        for extra in self._extra_losses(given, clients):
            total = total + extra
        trained = [given[name] for name in self.trained]
        return losses.detach(), torch.autograd.grad(total, trained, materialize_grads=True)

    def factors(self, steps: Sequence[Step], clients: slice) -> list[list[float]]:
        """Return the numbers that the optimizer multiplies with in a step of some clients, and count that step."""
        rates = [_rate(learner, step) for learner, step in zip(self.learners[clients], steps, strict=True)]
        return self.optimizer.factors(rates, clients)

    @torch.no_grad()
    def move(self, gradients: Sequence[Tensor], factors: Sequence[Factors], clients: slice) -> None:
        """Take one step of some clients along the gradients that :meth:`slopes` returned."""
        gradients = self._adjusted(gradients, clients)
        if self.clip_norm is not None:
            gradients = clipped_each(gradients, self.clip_norm)
        self.optimizer.step(gradients, factors, clients)
        self.gradients = dict(zip(self.trained, gradients, strict=True))

    def full_step(self, features: Tensor, labels: Tensor, factors: Sequence[Factors]) -> Tensor:
        """Take one step of all clients, whose batches are equally large, and return their losses before it.

        It reads and changes nothing but tensors that stay where they are: these, and :meth:`changed_by_steps`.
        """
        everyone = slice(0, len(self.learners))
        counts = [labels.shape[1]] * len(self.learners)
        losses, gradients = self.slopes(StackedBatch(features, labels, counts), [], everyone)
        self.move(gradients, factors, everyone)
        return losses

    def changed_by_steps(self) -> list[Tensor]:
        """Return the weights that are trained, and what the optimizer remembers."""
        return [*(self.parameters[name].detach() for name in self.trained), *self.optimizer.memory()]

    @torch.no_grad()
    def refill(self, learners: Sequence[EndToEnd]) -> None:
        """Take over the weights of other learners of the same kind, in the places of those before."""
        self.learners, self.failures = learners, {}
        stacks = [(self.parameters, _stacked([learner.network.parameters for learner in learners]))]
        stacks.append((self.buffers, _stacked([learner.network.buffers for learner in learners])))
        if self._common_term:
            stacks.append((self._reference, _stacked([learner.reference for learner in learners])))
        for mine, new in stacks:
            for name, tensor in mine.items():
                tensor.copy_(new[name])
        self.optimizer.refill([learner.optimizer.state() for learner in learners])

    def give_back(self) -> None:
        """Give every learner what became of its weights: its tensors are then its part of the stack, not copies."""
        for name in self.trained:
            found = self.parameters[name].detach()
            for learner, own in zip(self.learners, (found.clone() if self.stays else found).unbind(0), strict=True):
                learner.trained[name].data = own
        if self.learners[0].training.optimizer_state == "carried":
            for client, learner in enumerate(self.learners):
                learner.optimizer.load(self.optimizer.state_of(client))

    def _leaves(self, clients: slice) -> dict[str, Tensor]:
        """Return some clients' parameters, in the memory of all, those that are trained as leaves of autograd."""
        if self._window != clients:
            self._window = clients
            self._given = {name: tensor[clients] for name, tensor in self.parameters.items()}
            for name in self.trained:
                self._given[name].requires_grad_(True)
        return self._given

    def _losses(
        self, given: Mapping[str, Tensor], batch: StackedBatch, steps: Sequence[Step], clients: slice
    ) -> Tensor:
        """Return each client's mean loss, shape (n,)."""
        buffers = {name: tensor[clients] for name, tensor in self.buffers.items()}
        outputs = stacked_outputs(self.module, given, buffers, batch.features)
        learners = self.learners[clients]
        objective = learners[0].objective
        # Of one's own it may see more of a batch than an example, or give NaN: it is asked for each client.
        if objective.is_safe and all(learner.objective is objective for learner in learners):
            losses = objective(outputs.flatten(0, 1), batch.labels.flatten(0, 1))
            return batch.means(losses.view(batch.labels.shape[:2]))
        parts = zip(learners, outputs.unbind(0), batch.labels.unbind(0), batch.counts, steps, strict=True)
        return torch.stack(
            [learner.loss(own[:count], labels[:count], step) for learner, own, labels, count, step in parts]
        )

    def _extra_losses(self, given: Mapping[str, Tensor], clients: slice) -> list[Tensor]:
        """Return the clients' extra losses, or their sum where that is one term."""
        hooks = [learner.hooks for learner in self.learners[clients]]
        if all(hook.extra_loss is None for hook in hooks):
            return []
        if self._common_term and hooks[0].extra_loss is not None:
            term = hooks[0].extra_loss(given, {name: tensor[clients] for name, tensor in self._reference.items()})
            return [] if term is None else [term]
        # Taken apart once for all: a slice for each client would have a gradient of the whole stack each.
        apart = {name: tensor.unbind(0) for name, tensor in given.items()}
        found = [
            self._heard(client, {name: parts[place] for name, parts in apart.items()})
            for place, client in enumerate(range(clients.start, clients.stop))
        ]
        return [term for term in found if term is not None]

    def _heard(self, client: int, parameters: Weights) -> Tensor | None:
        """Return what a client's hook says of its extra loss."""
        learner = self.learners[client]
        if learner.hooks.extra_loss is None or client in self.failures:
            return None
        try:
            with self.acting_for(client):
                return learner.hooks.extra_loss(parameters, learner.reference)
        except Exception as error:
            self.failures[client] = error
            return None

    def _adjusted(self, gradients: Sequence[Tensor], clients: slice) -> Sequence[Tensor]:
        """Return the gradients as the clients' hooks leave them."""
        if all(learner.hooks.adjust_gradients is None for learner in self.learners[clients]):
            return gradients
        # Copies, because gradients of different weights may share memory and hooks may change them in place.
        stacked = [gradient.clone() for gradient in gradients]
        for place, client in enumerate(range(clients.start, clients.stop)):
            self._adjust(client, [gradient[place] for gradient in stacked])
        return stacked

    def _adjust(self, client: int, gradients: Sequence[Tensor]) -> None:
        """Let a client's hook change its gradients, in place."""
        learner = self.learners[client]
        if learner.hooks.adjust_gradients is None or client in self.failures:
            return
        named = dict(zip(self.trained, gradients, strict=True))
        try:
            with self.acting_for(client):
                learner.hooks.adjust_gradients(named, self.weights_of(client), learner.reference)
            for name, own in zip(self.trained, gradients, strict=True):
                if named[name] is not own:
                    own.copy_(named[name])
        except Exception as error:
            self.failures[client] = error


def _stacked(tensors: Sequence[Weights]) -> dict[str, Tensor]:
    return {name: torch.stack([own[name].detach() for own in tensors]) for name in tensors[0]}


def _rate(learner: EndToEnd, step: Step) -> float:
    return learner.lr(step) if callable(learner.lr) else learner.lr


def _adds_up(learners: Sequence[EndToEnd]) -> bool:
    """Say whether the clients' extra losses are one, which of stacked weights is the sum of theirs."""
    first = learners[0].hooks.adds_up
    return first is not None and all(learner.hooks.adds_up == first for learner in learners)
