"""What metrics=[dynamics,resources] add to a client's training: python benchmarks/tracking_overhead.py.

The same network trains for one round on the same examples without them, with both, and with resources alone, in turns,
on one thread: looks at every k-th step, rows, their packing, times, memory and bytes included; what a client sends of
its training in any case is packed without them, too. By default dynamics looks into one of several rounds of short
trainings: a round is weighed with how many there are of its kind, counted over a run. Reported are the ratio of the
shortest turns in processor time, and the median of the ratios of neighbouring turns, each over all rounds, and the
ratio of the rounds that are looked into. Fails where the first is above the limit.
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
DYNAMICS = TrainingDynamics()
# Of a run, to count those that are looked into.
ROUNDS = 100
KINDS = ((), ("resources",), ("dynamics", "resources"))


def examples(shape: Sequence[int], count: int) -> Examples:
    pixels = torch.randint(256, (count, *shape), dtype=torch.uint8)
    return Examples(pixels, torch.randint(10, (count,)), torch.arange(count), torch.tensor(1 / 255), torch.tensor(-0.5))


def one_round(module: nn.Module, data: Examples, metrics: Sequence[str], training: Training) -> float:
    """Return the processor's seconds of one round of one client that these metrics measure."""
    began = time.process_time()
    network = Network(module, *split_state(module))
    # A round in the middle of a run; what fails is raised.
    workspace = SimpleNamespace(config=SimpleNamespace(metrics={"on_error": "raise"}), layers=layers_of(module))
    session: Any = SimpleNamespace(workspace=workspace, round=2, last_round=10)
    following = [Following(session, {"dynamics": DYNAMICS}, network)] if "dynamics" in metrics else []
    learner = EndToEnd(network, training, training.lr)
    work = Work(CPU, time.perf_counter) if "resources" in metrics else None
    train_locally(learner, data, training, generator=torch.Generator().manual_seed(0), observers=following)
    reply = RecordDict({"arrays": array_record(network.parameters)})
    address: dict[str, Any] = {"owner": "client", "client": 0, "round": 1, "moment": "after_local"}
    rows: list[Row] = [Record("training_loss", 1.0, scope="client_train", n=len(data)), Resource("train_s", 1.0, "s")]
    rows = addressed([*rows, *(row for own in following for row in own.rows())], model="personal", **address)
    times: list[Row] = [row for row in rows if isinstance(row, Resource)]
    if work is not None:
        times += [*traffic_rows(reply, reply, session.workspace.layers), *work.rows()]
    to_bytes(to_table("resources", times, **address))
    to_bytes(to_table("records", [row for row in rows if isinstance(row, Record)]))
    return time.process_time() - began


def ratios(module: nn.Module, data: Examples, training: Training, repetitions: int) -> list[float]:
    """Return on / off of the shortest turns, the median over turns, on / off of rounds looked into, seconds off."""
    for own in KINDS:
        one_round(module, data, own, training)
    turns = []
    for number in range(repetitions):
        order = KINDS if number % 2 else KINDS[::-1]
        turns.append({own: one_round(module, data, own, training) for own in order})
    off, plain, looked = (min(turn[own] for turn in turns) for own in KINDS)
    steps = training.length(len(data)).steps
    share = sum(DYNAMICS.is_followed(steps, number, ROUNDS) for number in range(1, ROUNDS + 1)) / ROUNDS
    means = [(share * turn[KINDS[2]] + (1 - share) * turn[KINDS[1]]) / turn[KINDS[0]] for turn in turns]
    return [(share * looked + (1 - share) * plain) / off, statistics.median(means), looked / off, off]


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
        ratio, middle, looked, seconds = ratios(module, examples(shape, count), training, turns)
        worst = max(worst, ratio)
        added = (ratio - 1) * seconds * 1e3
        print(f"{name}: {ratio:.3f}, median {middle:.3f}, {seconds * 1e3:.1f} ms without, {added:.2f} ms more with it")
        print(f"  a round that is looked into {looked:.3f}", flush=True)
    if worst > LIMIT:
        sys.exit(f"tracking costs {worst:.3f} of training, more than {LIMIT}")


if __name__ == "__main__":
    main()
