"""Greedy training against end-to-end training of the same network: python benchmarks/greedy_training.py.

Four layers on flattened 28×28 images, batches of 128, Adam, one thread; the same loop over the same batch, gathered
beforehand. ``end to end`` trains the chain through its last layer's anchors, the others every layer by itself, without
ACE and with each of its forms; ``cnn`` is the small convolutional network and its stages. Times are minima of processor
time over interleaved repetitions, in milliseconds a step. Fails where greedy training of four layers of 256 or 1,024
units, or of the cnn, takes more than 1.3 times as long; on layers of 128 units, of which a step takes 2 ms, what four
losses and their calls cost is as much as that.
"""

import argparse
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from clients.learners.base import Learner, Task
from clients.learners.end_to_end import end_to_end
from clients.learners.greedy import Greedy
from clients.network import Network
from clients.training import train_locally
from fedlayers.config.schema.training import Training
from fedlayers.core.weights import split_state
from fedlayers.models.cnn import CNN
from fedlayers.models.greedy_mlp import GreedyMLP
from fedlayers.objectives.ace import VARIANTS

SHAPE, CLASSES, BATCH, STEPS, LIMIT = (1, 28, 28), 10, 128, 10, 1.3
TRAINING = Training(optimizer="adam", lr=0.001, batch_size=BATCH)


class Gathered:
    """Batches gathered beforehand, whatever positions are asked for."""

    def __init__(self) -> None:
        self.features = torch.randn(BATCH, *SHAPE)
        self.labels = torch.randint(CLASSES, (BATCH,))

    def __len__(self) -> int:
        return STEPS * BATCH

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the batch."""
        return self.features, self.labels

    def targets(self, positions: Tensor | None = None) -> Tensor:
        """Return the batch's labels, once for each of all batches where no positions are given."""
        return self.labels if positions is not None else self.labels.repeat(STEPS)


def trained(module: nn.Module, make: Callable[[Task], Learner], examples: Gathered) -> None:
    learner = make(Task(Network(module, *split_state(module)), TRAINING, TRAINING.lr))
    train_locally(learner, examples, TRAINING, generator=torch.Generator().manual_seed(0))


def greedy(strength: float, variant: str = "js") -> Callable[[Task], Learner]:
    return lambda task: Greedy(task, lambda_ace=strength, ace_variant=variant)


def compare(name: str, module: nn.Module, sides: dict[str, Callable[[Task], Learner]], repetitions: int) -> float:
    """Return by how much the slowest greedy side takes longer than the first one."""
    examples, best = Gathered(), dict.fromkeys(sides, float("inf"))
    for _ in range(repetitions + 1):
        for side, make in sides.items():
            began = time.process_time()
            trained(module, make, examples)
            best[side] = min(best[side], time.process_time() - began)
    first = best["end to end"]
    told = ", ".join(f"{side} {1e3 * own / STEPS:.2f} ms ({own / first:.2f})" for side, own in best.items())
    print(f"{name}: {told}")
    return max(best.values()) / first


def main() -> int:
    arguments = argparse.ArgumentParser(description="Greedy training against end-to-end training.")
    arguments.add_argument("--repetitions", type=int, default=10)
    repetitions = arguments.parse_args().repetitions
    torch.set_num_threads(1)
    torch.manual_seed(0)
    forms = {"no ACE": greedy(0.0), **{variant: greedy(0.1, variant) for variant in VARIANTS}}
    sides = {"end to end": end_to_end, **forms}
    ratios = {
        width: compare(f"chain of 4 × {width}", GreedyMLP(SHAPE, CLASSES, width, 4), sides, repetitions)
        for width in (128, 256, 1024)
    }
    cnn = compare("cnn", CNN(SHAPE, CLASSES), {name: sides[name] for name in ("end to end", "js")}, repetitions)
    return int(max(ratios[256], ratios[1024], cnn) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
