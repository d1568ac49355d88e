"""Cost of a local training step against the textbook loop: python benchmarks/local_training.py.

Both sides train the same network on the same batches on one thread. The textbook loop is ``module(x)``,
``loss.backward()`` and ``torch.optim`` with ``foreach=True`` on batches gathered beforehand. ``loop`` is
``train_locally`` with the learner ``EndToEnd`` on the same gathered batches, ``whole`` is the same gathering them from
uint8 examples. Times are minima of processor time over interleaved repetitions, in microseconds a step.

Convolutions allocate megabytes a step, and what the page faults cost depends on the heap's history: for figures that
repeat, keep freed memory with ``MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=4294967296`` (glibc).
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from clients.learners.end_to_end import EndToEnd
from clients.network import Network
from clients.training import train_locally
from fedlayers.config.schema.training import Training
from fedlayers.core.federation import Examples
from fedlayers.core.weights import split_state
from fedlayers.models.cnn import CNN
from fedlayers.models.mlp import MLP
from metrics.base import ExampleSet

SHAPE, CLASSES, BATCH = (1, 28, 28), 10, 64


@dataclass
class Gathered:
    """Batches gathered beforehand, handed out one after the other whatever positions are asked for."""

    batches: list[tuple[Tensor, Tensor]]
    next: int = field(default=0)

    def __len__(self) -> int:
        return BATCH * len(self.batches)

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next batch."""
        self.next = (self.next + 1) % len(self.batches)
        return self.batches[self.next]

    def targets(self, positions: Tensor | None = None) -> Tensor:
        """Return all batches' labels, or those of some places among them."""
        labels = torch.cat([labels for _, labels in self.batches])
        return labels if positions is None else labels[positions]


def textbook(module: nn.Module, batches: list[tuple[Tensor, Tensor]], training: Training) -> None:
    optimizer: torch.optim.Optimizer
    if training.optimizer == "sgd":
        optimizer = torch.optim.SGD(module.parameters(), training.lr, training.momentum, foreach=True)
    else:
        optimizer = torch.optim.Adam(module.parameters(), training.lr, foreach=True)
    module.train()
    for features, labels in batches:
        loss = cross_entropy(module(features), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def ours(module: nn.Module, examples: ExampleSet, training: Training) -> None:
    learner = EndToEnd(Network(module, *split_state(module)), training, training.lr)
    train_locally(learner, examples, training, generator=torch.Generator().manual_seed(0))


def minima(sides: dict[str, Callable[[], None]], repetitions: int) -> dict[str, float]:
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(repetitions):
        for name, side in sides.items():
            began = time.process_time()
            side()
            best[name] = min(best[name], time.process_time() - began)
    return best


def compare(module: nn.Module, training: Training, steps: int, repetitions: int) -> dict[str, float]:
    count = steps * BATCH
    pixels = torch.randint(256, (count, *SHAPE), dtype=torch.uint8)
    labels = torch.randint(CLASSES, (count,))
    examples = Examples(pixels, labels, torch.arange(count), torch.tensor(1 / 255), torch.tensor(-0.5))
    batches = [examples.batch(chosen) for chosen in torch.split(torch.arange(count), BATCH)]
    sides: dict[str, Callable[[], None]] = {
        "textbook": lambda: textbook(module, batches, training),
        "loop": lambda: ours(module, Gathered(batches), training),
        "whole": lambda: ours(module, examples, training),
    }
    minima(sides, 2)
    return {name: seconds / steps * 1e6 for name, seconds in minima(sides, repetitions).items()}


def main() -> None:
    arguments = argparse.ArgumentParser(description="Cost of a local training step against the textbook loop.")
    arguments.add_argument("--repetitions", type=int, default=60)
    repetitions = arguments.parse_args().repetitions
    torch.set_num_threads(1)
    for name, module, steps in (("mlp", MLP(SHAPE, CLASSES), 50), ("cnn", CNN(SHAPE, CLASSES), 4)):
        for optimizer in ("sgd", "adam"):
            times = compare(module, Training(optimizer=optimizer, lr=0.001), steps, repetitions)
            told = ", ".join(f"{side} {us:.0f} µs ({us / times['textbook']:.3f})" for side, us in times.items())
            print(f"{name} {optimizer}: {told}")


if __name__ == "__main__":
    main()
