"""Cost of reading every stage off, against training, and against dearer ways: python benchmarks/readout.py.

Chains of four layers are trained on batches of 128 images of 28 x 28 pixels; the probe has 1,000 examples. Both sides
take turns on one thread, and times are minima of processor time. By default a model is read off in the first and in the
last round; where all data are in one place once in each, as averaging leaves what was trained. Of the training it may
take a quarter: with 1,024 units in two rounds of one epoch of 48,000 images, with 256 in the ten rounds of 20,000 of
``chain/show``, and with 1,024 in ten rounds that read it off at both moments. The participation ratio stands beside
that of the covariance's eigenvalues, debiased CKA beside a product of Gram matrices, for two sizes of the probe.
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
from fedlayers.core.machine.devices import threads
from fedlayers.core.weights import split_state
from fedlayers.models.mlp import MLP
from metrics.base import ClientView
from metrics.compare.measures.cka import CKA
from metrics.geometry.participation_ratio import participation_ratio_of
from metrics.readout import Readout
from metrics.readouts.information.leading_components import smaller_products

SHAPE, CLASSES, BATCH, PROBE, LAYERS = (1, 28, 28), 10, 128, 1000, 4
MOST = 0.25
# Units, images of an epoch, rounds, how often a model is read off.
JOBS = ((1024, 48_000, 2, 2), (1024, 48_000, 10, 4), (256, 20_000, 10, 2))
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


def against_training(units: int, repetitions: int) -> tuple[float, float]:
    """Return the seconds of a step of training, and of reading all stages off."""
    module, examples = MLP(SHAPE, CLASSES, (units,) * LAYERS), Rows(BATCH * _TRIED)
    view, metric = view_of(module), Readout()
    sides: dict[str, Callable[[], object]] = {
        "training": lambda: train(module, examples),
        "measuring": lambda: metric.client(replace(view, cache={})),
    }
    found = minima(sides, repetitions)
    return found["training"] / _TRIED, found["measuring"]


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
    shares = []
    with threads(1):  # as clients measure: of torch and of numpy
        known = {units: against_training(units, repetitions) for units in {job[0] for job in JOBS}}
        for units, images, rounds, readings in JOBS:
            step, reading = known[units]
            epoch = step * images / BATCH
            shares.append(readings * reading / (rounds * epoch))
            print(f"{units} units, an epoch of {images:,} images {epoch:.1f} s, a reading {reading:.2f} s:", end=" ")
            print(f"{readings} readings in {rounds} epochs take {shares[-1]:.1%} of training")
        for count in (1000, 4000):
            against_twins(count, 1024, repetitions)
    if max(shares) > MOST:
        sys.exit(f"reading the stages off must take at most {MOST:.0%} of training, got {max(shares):.1%}")


if __name__ == "__main__":
    main()
