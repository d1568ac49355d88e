"""Batches of equal size without an example in common, the same for all that asks for them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedlayers.core.seeding import torch_generator
from metrics.views import ClientView


def equal_batches(view: ClientView, scope: str, batches: int, batch_examples: int) -> Sequence[Tensor]:
    """Return the positions of as many batches of equal size as a client has examples for; none if it cannot fill one.

    Args:
        view: the client.
        scope: where the examples come from; a client may have none there.
        batches: how many at most.
        batch_examples: examples in each.
    """
    if scope not in view.data:
        return []
    examples = view.data[scope]
    order = torch.randperm(len(examples), generator=torch_generator(view.seed, f"sensitivity/{scope}"))
    count = min(batches, len(examples) // batch_examples)
    return order[: count * batch_examples].reshape(count, batch_examples).unbind(0)
