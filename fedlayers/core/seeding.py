"""Addressed randomness: every generator is a function of (seed, purpose, round, client)."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


def derive(seed: int, purpose: str, server_round: int = 0, client: int = -1) -> int:
    """Return the 63-bit seed of one random stream.

    Args:
        seed: the run's seed.
        purpose: what the stream is for, such as ``"batches"``; streams of different purpose are independent.
        server_round: the round, 0 for streams that are drawn once per run.
        client: the client's index, -1 for the server's streams.

    Returns:
        An integer in [0, 2^63), the same on every machine.
    """
    text = f"{seed}/{purpose}/{server_round}/{client}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def torch_generator(seed: int, purpose: str, server_round: int = 0, client: int = -1) -> torch.Generator:
    """Return a CPU torch generator for one stream; the arguments are those of :func:`derive`."""
    return torch.Generator().manual_seed(derive(seed, purpose, server_round, client))


def numpy_generator(seed: int, purpose: str, server_round: int = 0, client: int = -1) -> np.random.Generator:
    """Return a numpy generator for one stream; the arguments are those of :func:`derive`."""
    return np.random.default_rng(derive(seed, purpose, server_round, client))


@dataclass(frozen=True)
class GlobalGenerators:
    """The states of the global generators of ``random``, numpy and torch, those of all GPUs among them."""

    python: Any
    numpy: Any
    torch: Tensor
    gpus: Sequence[Tensor]

    @classmethod
    def now(cls) -> "GlobalGenerators":
        """Return the states that they are in."""
        gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else ()
        return cls(random.getstate(), np.random.get_state(), torch.get_rng_state(), gpus)

    def are_as_before(self) -> bool:
        """Say whether they are in these states still, so that nothing was drawn. Nothing is set: others may draw."""
        now = GlobalGenerators.now()
        pairs = zip((self.torch, *self.gpus), (now.torch, *now.gpus), strict=True)
        same = self.python == now.python and all(map(np.array_equal, self.numpy, now.numpy))
        return same and all(torch.equal(one, other) for one, other in pairs)

    def put_back(self) -> None:
        """Let them go on from these states."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        torch.set_rng_state(self.torch)
        for device, state in enumerate(self.gpus):
            torch.cuda.set_rng_state(state, device)


@contextmanager
def global_state(seed: int, purpose: str, server_round: int = 0, client: int = -1) -> Iterator[None]:
    """Seed the global generators of ``random``, numpy and torch for a block of code, then put them back.

    For code that draws from global generators: dropout, and Flower's stock strategies.
    """
    stream = derive(seed, purpose, server_round, client)
    before = GlobalGenerators.now()
    random.seed(stream)
    np.random.seed(stream % 2**32)
    # Without a GPU torch.manual_seed costs a millisecond: it remembers its caller's stack for CUDA's sake.
    (torch if before.gpus else torch.default_generator).manual_seed(stream)
    try:
        yield
    finally:
        before.put_back()
