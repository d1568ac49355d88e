"""What metrics=[dynamics,resources] add to a client's training: python benchmarks/tracking_overhead.py.

The same network trains for one round on the same examples with and without them, in turns, on one thread: looks at
every k-th step, rows, their packing, times, memory and bytes included; what a client sends of its training in any case
is packed without them, too. Reported are the ratio of the shortest turns in processor time, and the median of the
ratios of neighbouring turns. Fails where the first is above the limit.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from flwr.app import RecordDict
from torch import nn

from clients.following import Following
from clients.learners.end_to_end import EndToEnd
from clients.network import Network
from clients.training import train_locally
from fedlayers.config.schema.training import Training
from fedlayers.core.federation import Examples
from fedlayers.core.layers import layers_of
from fedlayers.core.records import Record, Resource, Row, addressed, to_bytes, to_table
from fedlayers.core.weights import split_state
from fedlayers.flower.contents import array_record
from fedlayers.flower.traffic import traffic_rows
from fedlayers.models.cnn import CNN
from fedlayers.models.mlp import MLP
from fedlayers.models.resnet18 import ResNet18
from metrics.resource_usage.work import Work
from metrics.training_dynamics.federated import TrainingDynamics

LIMIT = 1.05
CPU = torch.device("cpu")


def examples(shape: Sequence[int], count: int) -> Examples:
    pixels = torch.randint(256, (count, *shape), dtype=torch.uint8)
    return Examples(pixels, torch.randint(10, (count,)), torch.arange(count), torch.tensor(1 / 255), torch.tensor(-0.5))


def one_round(module: nn.Module, data: Examples, on: bool, training: Training) -> float:
    """Return the processor's seconds of one round of one client."""
    began = time.process_time()
    network = Network(module, *split_state(module))
    # A round in the middle of a run; what fails is raised.
    workspace = SimpleNamespace(config=SimpleNamespace(metrics={"on_error": "raise"}), layers=layers_of(module))
    session: Any = SimpleNamespace(workspace=workspace, round=2, last_round=10)
    following = [Following(session, {"dynamics": TrainingDynamics()}, network)] if on else []
    learner = EndToEnd(network, training, training.lr)
    work = Work(CPU, time.perf_counter) if on else None
    train_locally(learner, data, training, generator=torch.Generator().manual_seed(0), observers=following)
    reply = RecordDict({"arrays": array_record(network.parameters)})
    rows: list[Row] = [Record("training_loss", 1.0, scope="client_train", n=len(data)), Resource("train_s", 1.0, "s")]
    if work is not None:
        rows += [*following[0].rows(), *traffic_rows(reply, reply, session.workspace.layers), *work.rows()]
    pack(addressed(rows, owner="client", client=0, model="personal", round=1, moment="after_local"))
    return time.process_time() - began


def pack(rows: Sequence[Row]) -> None:
    resources = [row for row in rows if isinstance(row, Resource)]
    to_bytes(to_table("resources", resources))
    to_bytes(to_table("records", [row for row in rows if isinstance(row, Record)]))


def ratios(module: nn.Module, data: Examples, training: Training, repetitions: int) -> tuple[float, float, float]:
    """Return on / off of the shortest turns, the median over neighbouring turns, and the shortest seconds off."""
    for on in (False, True):
        one_round(module, data, on, training)
    pairs = []
    for number in range(repetitions):
        order = (False, True) if number % 2 else (True, False)
        pairs.append({on: one_round(module, data, on, training) for on in order})
    shortest = {on: min(pair[on] for pair in pairs) for on in (False, True)}
    middle = statistics.median(pair[True] / pair[False] for pair in pairs)
    return shortest[True] / shortest[False], middle, shortest[False]


def main() -> None:
    arguments = argparse.ArgumentParser(description="What metrics=[dynamics,resources] add to a client's training.")
    arguments.add_argument("--repetitions", type=int, default=15)
    repetitions = arguments.parse_args().repetitions
    torch.set_num_threads(1)
    training, worst = Training(lr=0.01), 0.0
    cases: list[tuple[str, nn.Module, tuple[int, ...], int]] = [
        ("mlp, 6,000 examples", MLP((1, 28, 28), 10), (1, 28, 28), 6000),
        ("cnn, 6,000 examples", CNN((1, 28, 28), 10), (1, 28, 28), 6000),
        ("mlp, 600 examples", MLP((1, 28, 28), 10), (1, 28, 28), 600),
        ("resnet18_gn, 128 examples", ResNet18((3, 32, 32), 10, "group"), (3, 32, 32), 128),
    ]
    for name, module, shape, count in cases:
        turns = repetitions * (20 if name.startswith("mlp") else 1)
        ratio, middle, seconds = ratios(module, examples(shape, count), training, turns)
        worst = max(worst, ratio)
        added = (ratio - 1) * seconds * 1e3
        print(f"{name}: {ratio:.3f}, median {middle:.3f}, {seconds * 1e3:.1f} ms without, {added:.2f} ms more with it")
    if worst > LIMIT:
        sys.exit(f"tracking costs {worst:.3f} of training, more than {LIMIT}")


if __name__ == "__main__":
    main()
