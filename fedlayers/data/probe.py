"""The probe: fixed examples on which the representations of all clients, moments and rounds are compared."""

from itertools import accumulate

import torch

from fedlayers.config.schema.settings import Probe
from fedlayers.core.errors import UserError
from fedlayers.core.federation import Examples, Federation
from fedlayers.core.kinds.tokens import UNKNOWN
from fedlayers.core.seeding import torch_generator

# As many as are drawn if nobody says how many.
MOST_EXAMPLES = 1000


def probe_examples(probe: Probe, federation: Federation, seed: int) -> Examples:
    """Return the probe of a run, normalised as the server's examples are, in an order that never changes.

    - ``server``: public examples that the server holds: drawn from its test set, in which no client trains.
    - ``pooled``: as many from every client's training examples, the first system's way. In a real federation that
      would disclose them.
    - ``synthetic``: independent standard normal features (what normalised features are on average), without labels; of
      token data words of the vocabulary, all alike likely, without padding.

    Args:
        probe: the policy and the number of examples, 1,000 if none is given; fewer come if there are fewer.
        federation: the run's data.
        seed: the run's seed.

    Raises:
        UserError: there are fewer than four examples to draw from.
    """
    generator = torch_generator(seed, f"probe/{probe.policy}")
    size = MOST_EXAMPLES if probe.size is None else probe.size
    if probe.policy == "synthetic":
        return _synthetic(size, federation, generator)
    if probe.policy == "server":
        source, chosen = federation.server_test, _some(len(federation.server_test), size, generator)
    else:
        source, chosen = federation.pooled_train, _shares(federation, size, generator)
    if len(chosen) < 4:
        held = "split.server_test" if probe.policy == "server" else "examples_per_client"
        raise UserError(
            f"probe.policy={probe.policy} needs 4 or more examples, got {len(chosen)}; raise {held} or choose "
            "probe.policy=synthetic"
        )
    return source.take(chosen)


def most_examples(probe: Probe, federation: Federation) -> int | None:
    """Return how many examples there are that a probe could be drawn from; None: no end of them."""
    if probe.policy == "synthetic":
        return None
    if probe.policy == "server":
        return len(federation.server_test)
    return len(federation.pooled_train)


def _some(count: int, wanted: int, generator: torch.Generator) -> torch.Tensor:
    """Return so many of the places 0 … count - 1 in random order, all of them if there are no more."""
    return torch.randperm(count, generator=generator)[:wanted]


def _shares(federation: Federation, wanted: int, generator: torch.Generator) -> torch.Tensor:
    """Return places in the pooled training examples, as many of every client as it has, at most an equal share.

    Of more clients than examples are wanted some are drawn, and one example of each.
    """
    sizes = federation.splits["client_train"].sizes[federation.seen].tolist()
    firsts = [0, *accumulate(sizes)]
    chosen = range(len(sizes)) if wanted >= len(sizes) else sorted(_some(len(sizes), wanted, generator).tolist())
    share = max(wanted // len(sizes), 1)
    return torch.cat([firsts[client] + _some(sizes[client], share, generator) for client in chosen])


def _synthetic(size: int, federation: Federation, generator: torch.Generator) -> Examples:
    if federation.has_tokens:
        features = torch.randint(UNKNOWN, len(federation.vocabulary), (size, *federation.shape), generator=generator)
    else:
        features = torch.randn(size, *federation.shape, generator=generator)
    return Examples(features, torch.full((size,), -1), torch.arange(size), torch.ones(1), torch.zeros(1))
