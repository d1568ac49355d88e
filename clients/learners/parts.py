"""A learner for each part of a network."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import nn

from clients.learners.base import Task
from clients.learners.end_to_end import EndToEnd, chosen, end_to_end


def parts_of(task: Task, held: Mapping[str, Sequence[nn.Module]]) -> dict[str, EndToEnd]:
    """Return a learner, with an optimizer of its own, for each group of modules that has weights to train.

    Weights that groups share are the first one's.

    Args:
        task: what is trained.
        held: name of a group -> its modules.

    Raises:
        UserError: there is nothing to train.
    """
    names = {id(weight): name for name, weight in task.network.module.named_parameters()}
    left = set(chosen(task.network, task.names))
    parts: dict[str, EndToEnd] = {}
    for group, modules in held.items():
        own = {names[id(weight)] for part in modules for weight in part.parameters()} & left
        if own:
            parts[group] = end_to_end(replace(task, names=sorted(own)))
            left -= own
    return parts
