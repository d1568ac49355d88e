"""Cost of reading every stage off, against training, and against dearer ways: python benchmarks/readout.py.

A chain of four layers of 1,024 units is trained on batches of 128 images of 28 x 28 pixels; an epoch is that of the
48,000 training images of Fashion-MNIST, and the probe has 1,000 examples. Both sides take turns on one thread, and
times are minima of processor time. The default measures twice, after local training and after aggregation, in the
first and in the last round: of ten rounds of one epoch it may take a quarter of the training. The participation ratio
stands beside that of the covariance's eigenvalues, debiased CKA beside a product of Gram matrices, for two sizes of the
probe.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from clients.learners.end_to_end import EndToEnd
from clients.network import Network
from clients.training import train_locally
from fedlayers.config.schema.training import Training
from fedlayers.core.layers import layers_of
from fedlayers.core.weights import split_state
from fedlayers.models.mlp import MLP
from metrics.base import ClientView
from metrics.compare.measures.cka import CKA
from metrics.geometry.participation_ratio import participation_ratio_of
from metrics.readout import Readout
from metrics.readouts.information.leading_components import smaller_products

SHAPE, CLASSES, BATCH, STEPS, PROBE = (1, 28, 28), 10, 128, 375, 1000
WIDTHS = (1024, 1024, 1024, 1024)
MOST, ROUNDS = 0.25, 10
_TRIED = 8


class Rows:
    """Examples held in memory, classes around means of their own."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.labels = torch.randint(CLASSES, (count,), generator=generator)
        means = torch.randn(CLASSES, *SHAPE, generator=generator)
        self.features = means[self.labels] + torch.randn(count, *SHAPE, generator=generator)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and labels."""
        return self.features[positions], self.labels[positions]

    def targets(self, positions: Tensor | None = None) -> Tensor:
        """Return the labels."""
        return self.labels if positions is None else self.labels[positions]


def view_of(module: nn.Module) -> ClientView:
    weights, buffers = split_state(module)
    classes = tuple(f"class {place}" for place in range(CLASSES))
    view = ClientView(layers_of(module), module.eval(), weights, buffers, weights, {}, classes, 0, 1, "after_local")
    return replace(view, probe=Rows(PROBE))


def train(module: nn.Module, examples: Rows) -> None:
    training = Training(optimizer="adam", lr=0.001, batch_size=BATCH, steps=_TRIED)
    learner = EndToEnd(Network(module, *split_state(module)), training, training.lr)
    train_locally(learner, examples, training, generator=torch.Generator().manual_seed(0))


def minima(sides: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(repetitions):
        for name, side in sides.items():
            began = time.process_time()
            side()
            best[name] = min(best[name], time.process_time() - began)
    return best


def by_eigenvalues(rows: Tensor) -> float:
    found = torch.linalg.eigvalsh(rows.T @ rows)
    return float(found.sum() ** 2 / found.square().sum())


def by_gram_matrices(x: Tensor, y: Tensor) -> float:
    k, m = (part @ part.T for part in (x, y))
    return float(torch.trace(k @ m) / (torch.trace(k @ k) * torch.trace(m @ m)).sqrt())


def against_training(repetitions: int) -> float:
    module, examples = MLP(SHAPE, CLASSES, WIDTHS), Rows(BATCH * _TRIED)
    view, metric = view_of(module), Readout()
    sides: dict[str, Callable[[], object]] = {
        "training": lambda: train(module, examples),
        "measuring": lambda: metric.client(replace(view, cache={})),
    }
    found = minima(sides, repetitions)
    epoch = found["training"] / _TRIED * STEPS
    share = found["measuring"] / epoch
    print(f"an epoch {epoch:.1f} s, reading four stages off {found['measuring']:.2f} s: {share:.1%}")
    print(f"by default, twice in the first and the last of {ROUNDS} epochs: {4 * share / ROUNDS:.1%}")
    return 4 * share / ROUNDS


def against_twins(count: int, width: int, repetitions: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(count, width, generator=generator).relu() for _ in range(2))
    rows = x.double() - x.double().mean(0)
    other = y.double() - y.double().mean(0)
    sides: dict[str, Callable[[], object]] = {
        "participation ratio": lambda: participation_ratio_of(rows, smaller_products(rows)),
        "by eigenvalues": lambda: by_eigenvalues(rows),
        "CKA": lambda: CKA().values([x, y], [(0, 1)]),
        "by Gram matrices": lambda: by_gram_matrices(rows, other),
    }
    found = minima(sides, repetitions)
    told = ", ".join(f"{name} {1e3 * seconds:.0f} ms" for name, seconds in found.items())
    print(f"{count} examples, {width} units: {told}")


def main() -> None:
    arguments = argparse.ArgumentParser(description="Cost of reading every stage off, against training.")
    arguments.add_argument("--repetitions", type=int, default=5)
    repetitions = arguments.parse_args().repetitions
    torch.set_num_threads(1)
    share = against_training(repetitions)
    for count in (1000, 4000):
        against_twins(count, 1024, repetitions)
    if share > MOST:
        sys.exit(f"reading the stages off must take at most {MOST:.0%} of training, got {share:.1%}")


if __name__ == "__main__":
    main()
