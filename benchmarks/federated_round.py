"""A whole FedAvg round of the program against a bare PyTorch loop over the same examples, in one run.

The bare loop is the floor: two persistent single-threaded processes with all data normalised in memory beforehand,
which exchange weights through shared memory. Both sides train the same network on the same clients, evaluate each
client's test examples after training and after aggregation, and the global model on the server's test set, in every
round or in every fifth. Nothing else is measured. The two sides take turns of five rounds within one run: the program
is stopped, with all its processes, once the last round of its turn is on the disk with its tests, and goes on when the
bare loop has had its own. What counts is the median of the turns' ratios, since a machine that others share may be a
tenth slower a minute later.

Workloads: ``mlp`` and ``cnn`` (10 clients × 6,000 FMNIST examples, 10 % of them for testing, batch 64, one epoch),
``cross-device`` (200 clients × 50 CIFAR-10 examples, 50 a round, batch 10, two convolutions, 1.6 M parameters).
Needs the data sets (FEDLAYERS_DATA). Usage: ``python benchmarks/federated_round.py [mlp cnn cross-device]``.
"""

import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import torch
import torch.multiprocessing as mp
from flwr.app import ConfigRecord, Message, MessageType
from torch import Tensor, nn

import fedlayers
from fedlayers.config.compose import compose_config
from fedlayers.config.schema.settings import Config
from fedlayers.core.federation import Examples
from fedlayers.core.machine.devices import prepare_process
from fedlayers.data import load_federation
from fedlayers.engines.ray.engine import RayGrid
from fedlayers.flower.adapter import integer, records_of
from fedlayers.models import build_model

FMNIST = ["+dataset=FMNIST", "clients=10", "split.train=0.9", "split.val=0", "split.test=0.1", "partition=iid"]
CIFAR = ["+dataset=CIFAR10", "clients=200", "split.train=1", "split.val=0", "split.test=0", "partition=iid"]
WORKLOADS = {
    "mlp": [*FMNIST, "model=mlp"],
    "cnn": [*FMNIST, "model=cnn"],
    "cross-device": [
        *CIFAR,
        "fraction=0.25",
        "training.batch_size=10",
        "model=cnn",
        "model.channels=[32,64]",
        "model.kernel_size=3",
        "model.hidden=390",
    ],
}
COMMON = ["metrics=[evaluation]", "metrics.evaluation.splits=[test]", "figures=false", "progress=none"]
# Five rounds of each schedule hold the same number of tests; the first two rounds do not count.
WINDOW = 5
FIRST = 3
TURNS = 7
# By workload: at most so many times the floor with the server's test in every round, and in every fifth.
LIMITS = {"mlp": {1: 1.25, 5: 1.15}, "cnn": {1: 1.10, 5: 1.10}, "cross-device": {1: 1.25, 5: 1.08}}


class Turns:
    """Lets the program and the bare loop take turns, and notes how long they took.

    Args:
        results: where the program puts its run.
        bare: the bare loop.
        every: the server's test is in each ``every``-th round.

    Attributes:
        seconds: of each turn, the seconds a round of the program and of the bare loop.
    """

    def __init__(self, results: Path, bare: "Bare", every: int) -> None:
        self.results, self.bare, self.every = results, bare, every
        self.seconds: list[tuple[float, float]] = []
        self._floor = self._began = 0.0

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Take turns while the program runs in a block of code."""
        plain = RayGrid.deliver

        def deliver(grid: RayGrid, messages: list[Message]) -> list[Message]:
            server_round = integer(records_of(messages[0].content, ConfigRecord)["config"]["server-round"])
            if messages[0].metadata.message_type == MessageType.TRAIN and server_round % WINDOW == FIRST % WINDOW:
                self._change(server_round)
            return plain(grid, messages)

        with patch.object(RayGrid, "deliver", deliver):
            yield

    def _change(self, server_round: int) -> None:
        """End the program's turn before a round begins, let the bare loop have its own, and begin the next one."""
        if server_round > FIRST:
            while not list(self.results.rglob(f"round={server_round - 1:06d}.parquet")):
                time.sleep(0.001)
            self.seconds.append(((time.perf_counter() - self._began) / WINDOW, self._floor))
        own = {process.pid for process in self.bare.processes}
        others = [child for child in psutil.Process().children(recursive=True) if child.pid not in own]
        for process in others:
            process.suspend()
        rounds = [self.bare.round(number, self.every) for number in range(server_round, server_round + WINDOW)]
        for process in others:
            process.resume()
        self._floor = statistics.mean(rounds)
        self._began = time.perf_counter()


class Bare:
    """The bare loop: two processes, shared memory, no framework."""

    def __init__(self, config: Config) -> None:
        context = mp.get_context("spawn")
        module = network(config)
        self.share = [shared(parameter) for parameter in module.parameters()]
        self.clients = config.clients or 0
        self.sampled = max(1, int(self.clients * config.fraction))
        self.slots = [[shared(tensor) for tensor in self.share] for _ in range(self.sampled)]
        self.pipes, self.processes = [], []
        for half in range(2):
            mine, theirs = context.Pipe()
            process = context.Process(target=work, args=(theirs, config, half, self.share, self.slots), daemon=True)
            process.start()
            self.pipes.append(mine)
            self.processes.append(process)
        for pipe in self.pipes:
            pipe.recv()

    def round(self, number: int, every: int) -> float:
        """Return the seconds of one round, the first being number 1, with the server's test in each ``every``-th."""
        generator = torch.Generator().manual_seed(number)
        chosen = torch.randperm(self.clients, generator=generator)[: self.sampled].sort().values.tolist()
        began = time.perf_counter()
        self._phase("train", chosen)
        for place, tensor in enumerate(self.share):
            tensor.copy_(torch.stack([slot[place] for slot in self.slots]).mean(0))
        self._phase("evaluate" if number % every else "test", chosen)
        return time.perf_counter() - began

    def _phase(self, name: str, chosen: list[int]) -> None:
        for half, pipe in enumerate(self.pipes):
            pipe.send((name, [(slot, client) for slot, client in enumerate(chosen) if slot % 2 == half]))
        for pipe in self.pipes:
            pipe.recv()

    def close(self) -> None:
        """End the processes."""
        for process in self.processes:
            process.kill()


def shared(tensor: Tensor) -> Tensor:
    """Return a copy that other processes see."""
    copy: Tensor = tensor.detach().clone().share_memory_()  # type: ignore[no-untyped-call]
    return copy


def network(config: Config) -> nn.Module:
    """Return the workload's network."""
    federation = load_federation(config)
    return build_model(config.model, federation.shape, len(federation.classes), config.seed)


def in_memory(examples: Examples) -> tuple[Tensor, Tensor]:
    """Return all examples normalised."""
    return examples.batch(torch.arange(len(examples)))


def work(pipe: Any, config: Config, half: int, share: list[Tensor], slots: list[list[Tensor]]) -> None:
    """Train and evaluate on request; the even half also tests the first half of the server's examples."""
    torch.set_num_threads(1)
    prepare_process(deterministic=False)
    federation = load_federation(config)
    module = network(config)
    parameters: list[Tensor] = list(module.parameters())
    train = [in_memory(examples) for examples in federation.splits["client_train"]]
    test = [in_memory(examples) for examples in federation.splits["client_test"]]
    server = [part.chunk(2)[half] for part in in_memory(federation.server_test)]
    pipe.send("ready")
    while True:
        name, jobs = pipe.recv()
        with torch.no_grad():
            torch._foreach_copy_(parameters, share)
        if name == "test":
            evaluate(module, server[0], server[1])
        for slot, client in jobs:
            if name == "train":
                with torch.no_grad():
                    torch._foreach_copy_(parameters, share)
                train_epoch(module, train[client], config)
            evaluate(module, *test[client])
            if name == "train":
                with torch.no_grad():
                    torch._foreach_copy_(slots[slot], parameters)
        pipe.send("done")


def train_epoch(module: nn.Module, data: tuple[Tensor, Tensor], config: Config) -> None:
    """Run the textbook loop over one epoch."""
    features, labels = data
    module.train()
    optimizer = torch.optim.SGD(module.parameters(), lr=config.training.lr, momentum=0.9, foreach=True)
    order = torch.randperm(len(labels))
    for batch in torch.split(order, config.training.batch_size):
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(module(features[batch]), labels[batch]))
        optimizer.step()


def evaluate(module: nn.Module, features: Tensor, labels: Tensor) -> tuple[float, int]:
    """Return summed loss and number of hits."""
    module.eval()
    loss, hits = torch.zeros(()), torch.zeros(())
    with torch.inference_mode():
        for x, y in zip(torch.split(features, 128), torch.split(labels, 128), strict=True):
            logits = module(x)
            loss += nn.functional.cross_entropy(logits, y, reduction="sum")
            hits += (logits.argmax(1) == y).sum()
    return float(loss), int(hits)


def compare(name: str, every: int) -> list[tuple[float, float]]:
    """Return the seconds a round of the program and of the bare loop, turn by turn."""
    # The round after the last turn ends it.
    overrides = [*WORKLOADS[name], *COMMON, f"rounds={FIRST + WINDOW * TURNS}", f"server_test.rounds=[every {every}]"]
    bare = Bare(compose_config(overrides))
    for number in range(1, FIRST):
        bare.round(number, every)
    with tempfile.TemporaryDirectory() as folder:
        turns = Turns(Path(folder), bare, every)
        with turns.taken(), contextlib.redirect_stdout(None):
            fedlayers.run([*overrides, f"results_dir={folder}", "engine=ray", "engine.workers=2"])
    bare.close()
    return turns.seconds


def main() -> None:
    """Print two lines per workload; leave with 1 if one costs more than its limit."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    missed = False
    print("workload      server tests  ours (s)  bare (s)   ratio  (of the turns)  at most")
    for name in sys.argv[1:] or list(WORKLOADS):
        for every, limit in LIMITS[name].items():
            seconds = compare(name, every)
            ours, floor = (statistics.median(side) for side in zip(*seconds, strict=True))
            ratios = sorted(mine / bare for mine, bare in seconds)
            ratio = statistics.median(ratios)
            missed |= ratio > limit
            told = "every round" if every == 1 else f"every {every}th"
            spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
            print(
                f"{name:12s}  {told:12s}  {ours:8.3f}  {floor:8.3f}  {ratio:6.3f}  {spread:>14s}  {limit:7.2f}",
                flush=True,
            )
    sys.exit(missed)


if __name__ == "__main__":
    main()
