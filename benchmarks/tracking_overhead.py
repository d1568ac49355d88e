"""What tracking adds to clients' training: python benchmarks/tracking_overhead.py.

The same network trains for one round on the same examples with and without metrics=[dynamics,resources], in turns, on
one thread: looks at every k-th step, rows, their packing, times, memory and bytes included; what a client sends of its
training in any case is packed without them, too. Then one client of ten works on every message of a whole run of
+dataset=FMNIST with default settings, ten rounds, with metrics=[evaluation] and with all that tracks beside it
(classes, dynamics, resources, and attention where the model attends); what that takes more is divided by what training
takes. Reported are the ratio of the shortest turns in processor time, and of single rounds the median of the ratios of
neighbouring turns. Fails where the first is above the limit. Where Fashion-MNIST is not there, its pixels are noise.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from torch import nn

from clients.fedavg import FedAvgClient
from clients.following import Following
from clients.learners.end_to_end import EndToEnd
from clients.measuring import Measured
from clients.network import Network
from clients.training import train_locally
from fedlayers.config.compose import compose_config
from fedlayers.config.schema.training import Training
from fedlayers.core.federation import Examples
from fedlayers.core.layers import layers_of
from fedlayers.core.records import Record, Resource, Row
from fedlayers.core.weights import split_state
from fedlayers.data.cache import data_root
from fedlayers.data.source import Arrays, DatasetFacts
from fedlayers.execution.build import build
from fedlayers.flower.adapter import set_identity
from fedlayers.flower.contents import array_record
from fedlayers.flower.traffic import traffic_rows
from fedlayers.flower.usage import packed_usage
from fedlayers.models.cnn import CNN
from fedlayers.models.mlp import MLP
from fedlayers.models.resnet18 import ResNet18
from metrics.measure import Sent
from metrics.resource_usage.work import Work
from metrics.training_dynamics.federated import TrainingDynamics

LIMIT = 1.05
CPU = torch.device("cpu")
TRACKING = "evaluation,classes,dynamics,resources"
ROUNDS = 10


class Noise:
    """Images of the size and number of Fashion-MNIST's, without its files."""

    def files(self, root: Path) -> Sequence[Path]:
        """Return this file, for there is no other."""
        return [Path(__file__)]

    def read(self, root: Path) -> Arrays:
        """Return pixels and labels that are drawn."""
        generator = np.random.default_rng(0)
        pixels = generator.integers(256, size=(70_000, 1, 28, 28), dtype=np.uint8)
        facts = DatasetFacts(tuple("abcdefghij"), num_test=10_000)
        return Arrays(pixels, generator.integers(10, size=70_000), facts)


class Times:
    """Processor's seconds of a client's whole run, message by message, the shortest of several turns.

    Args:
        words: the settings.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.config = compose_config(words)
        self.built = build(self.config)
        self.app = self.built.client_app(self.config)
        # Of the client that has a middling number of examples.
        sizes = self.built.federation.splits["client_train"].sizes
        self.client = int(np.argsort(sizes, kind="stable")[len(sizes) // 2])
        self.messages, self.training = dict[tuple[int, str], float](), dict[tuple[int, str], float]()

    def turn(self) -> Iterator[None]:
        """Work on the messages of a run, and stop after each."""
        arrays, state = array_record(split_state(self.built.module)[0]), RecordDict()
        moments = [(0, "start"), *((n, m) for n in range(1, ROUNDS + 1) for m in ("after_local", "after_aggregate"))]
        for number, moment in moments:
            settings = ConfigRecord({"server-round": number, "last-round": ROUNDS, "moment": moment})
            kind = MessageType.TRAIN if moment == "after_local" else MessageType.EVALUATE
            message = Message(RecordDict({"arrays": arrays, "config": settings}), self.client + 1, kind)
            context = Context(1, self.client + 1, {"partition-id": self.client, "num-partitions": 10}, state, {})
            trained: list[float] = []
            began = time.process_time()
            with timed_training(trained):
                reply = self.app(message, context)
            self._note(self.messages, (number, moment), time.process_time() - began)
            if reply.has_error():
                sys.exit(reply.error.reason)
            if moment == "after_local":
                self._note(self.training, (number, moment), sum(trained))
                arrays = reply.content.array_records["arrays"]
            yield

    def _note(self, times: dict[tuple[int, str], float], key: tuple[int, str], seconds: float) -> None:
        times[key] = min(times.get(key, seconds), seconds)


@contextmanager
def timed_training(seconds: list[float]) -> Iterator[None]:
    """Note the processor's seconds of each local training in a block of code."""
    plain = FedAvgClient.train

    def train(*arguments: Any, **keywords: Any) -> Any:
        began = time.process_time()
        found = plain(*arguments, **keywords)
        seconds.append(time.process_time() - began)
        return found

    FedAvgClient.train = train  # type: ignore[method-assign]
    try:
        yield
    finally:
        FedAvgClient.train = plain  # type: ignore[method-assign]


def whole_run(model: str, metrics: str, turns: int, folder: str) -> tuple[float, float, float]:
    """Return by what tracking multiplies a client's training, its seconds, and those of other messages off."""
    is_there = (data_root(None) / "FashionMNIST").is_dir()
    data = [] if is_there else ["dataset._target_=tracking_overhead.Noise", f"data_dir={folder}"]
    words = ["+dataset=FMNIST", f"model={model}", f"rounds={ROUNDS}", "device=cpu", "metrics.on_error=raise", *data]
    off, on = (Times([*words, f"metrics=[{chosen}]"]) for chosen in ("evaluation", metrics))
    for _ in range(turns):
        # Message by message, so that both meet the same neighbours.
        for _ in zip(off.turn(), on.turn(), strict=True):
            pass
    training = sum(off.training.values())
    more = sum(on.messages.values()) - sum(off.messages.values())
    return 1 + more / training, training, sum(off.messages.values()) - training


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
    rows += following[0].rows() if on else []
    address = {"owner": "client", "client": 0, "model": "personal", "round": 1, "moment": "after_local"}
    Measured([(rows, address)], Sent(), "personal").packed()
    if work is not None:
        used = [*traffic_rows(reply, reply, session.workspace.layers), *work.rows()]
        packed_usage([(used, address)])
    return time.process_time() - began


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
    arguments = argparse.ArgumentParser(description="What tracking adds to clients' training.")
    arguments.add_argument("--repetitions", type=int, default=15, help="turns of single rounds, of small ones 20 times")
    arguments.add_argument("--runs", type=int, default=3, help="turns of a client's whole run")
    given = arguments.parse_args()
    repetitions = given.repetitions
    torch.set_num_threads(1)
    set_identity()
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
    with tempfile.TemporaryDirectory() as folder:
        for model, metrics in (("mlp", TRACKING), ("cnn", TRACKING), ("vision_transformer", f"{TRACKING},attention")):
            ratio, spent, rest = whole_run(model, metrics, given.runs, folder)
            worst, added = max(worst, ratio), (ratio - 1) * spent * 1e3
            print(
                f"{model}, whole run of a client, {metrics}: {ratio:.3f}, {spent:.1f} s of training, {rest:.1f} s "
                f"beside it with evaluation alone, {added:.0f} ms more with all"
            )
    if worst > LIMIT:
        sys.exit(f"tracking costs {worst:.3f} of training, more than {LIMIT}")


if __name__ == "__main__":
    main()
