"""Learners whose weights are in groups, such as the stages of a chain."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from clients.learners.base import Task
from clients.learners.end_to_end import EndToEnd, chosen
from clients.network import Weights
from clients.optimizers import clipped


def groups_of(task: Task, held: Mapping[str, Sequence[nn.Module]]) -> dict[str, list[str]]:
    """Return the names of the weights that each group of modules has to train; groups without any are left out.

    Weights that groups share are the first one's.

    Args:
        task: what is trained.
        held: name of a group -> its modules.

    Raises:
        UserError: there is nothing to train.
    """
    names = {id(weight): name for name, weight in task.network.module.named_parameters()}
    left = set(chosen(task.network, task.names))
    groups: dict[str, list[str]] = {}
    for group, modules in held.items():
        own = {names[id(weight)] for part in modules for weight in part.parameters()} & left
        if own:
            groups[group] = sorted(own)
            left -= own
    return groups


class InGroups(EndToEnd):
    """Moves weights in groups as an optimizer for each group would, all in one pass.

    Optimizers remember each weight by itself, so that one of all weights gives the numbers of one for each group, in
    fewer calls. Gradients are clipped, and what is remembered is named, group by group.

    Args:
        task: what is trained.
        groups: see :func:`groups_of`.
    """

    def __init__(self, task: Task, groups: Mapping[str, Sequence[str]]) -> None:
        names = [name for own in groups.values() for name in own]
        super().__init__(task.network, task.training, task.lr, names=names, hooks=task.hooks, objective=task.objective)
        self.groups = {group: tuple(own) for group, own in groups.items()}
        self._group_of = {name: group for group, own in groups.items() for name in own}

    def clip(self, gradients: Sequence[Tensor], norm: float) -> list[Tensor]:
        """Return the gradients, those of each group scaled down together."""
        named = dict(zip(self.trained, gradients, strict=True))
        for own in self.groups.values():
            named.update(zip(own, clipped([named[name] for name in own], norm), strict=True))
        return list(named.values())

    def state(self) -> dict[str, Tensor]:
        """Return what the optimizer remembers of each weight, under ``<group>/<what>/<name>``."""
        return {f"{self._group_of[key.partition('/')[2]]}/{key}": own for key, own in super().state().items()}

    def load(self, state: Weights) -> None:
        """Go on from a state that :meth:`state` returned; weights of which it has nothing start afresh."""
        found: dict[str, Tensor] = {}
        for group in self.groups:
            start = f"{group}/"
            found |= {key.removeprefix(start): own for key, own in state.items() if key.startswith(start)}
        super().load(found)
