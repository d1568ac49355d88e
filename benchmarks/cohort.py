"""Clients that train as one against the same one after the other: milliseconds of a training phase, on this device.

``training``: each client copies the weights that came and makes its optimizer, batches are drawn, all clients trained,
their weights ready to be aggregated, as the program's clients do it. ``phase``: a message for each client comes, and a
reply leaves, with nothing measured. ``measured``: what clients measure of a model each, a metric after the other. Both
sides run in turn; the smallest times count. On a GPU the workloads are those of networks for images; on a CPU small
ones, of which the first must be 3 times faster.

Usage: ``python benchmarks/cohort.py [--repetitions 5] [workload ...]``; needs no data set.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from torch import nn

from clients.cohorts.jobs import TrainingJob
from clients.cohorts.training import train_together
from clients.learners.end_to_end import EndToEnd
from clients.network import Network
from fedlayers.config.compose import compose_config
from fedlayers.config.schema.training import Training
from fedlayers.core.cohorts.meeting import Alone, side_by_side
from fedlayers.core.federation import Examples
from fedlayers.core.layers import layers_of
from fedlayers.core.machine.devices import prepare_process, resolve_device
from fedlayers.core.seeding import torch_generator
from fedlayers.core.weights import split_state
from fedlayers.engines.base import Workplace
from fedlayers.engines.local import LocalGrid
from fedlayers.execution.build import build
from fedlayers.flower.adapter import quiet
from fedlayers.flower.contents import array_record
from fedlayers.models.cnn import CNN
from fedlayers.models.mlp import MLP
from metrics.base import ClientView, Metric
from metrics.compare.measures.cka import CKA
from metrics.curvature import Curvature
from metrics.evaluation import Evaluation
from metrics.gradients import Gradients
from metrics.measure import measure_clients
from metrics.sensitivity import Sensitivity
from metrics.similarity import Similarity

GREY, COLOUR, DIGIT, CLASSES = (1, 28, 28), (3, 32, 32), (1, 8, 8), 10


@dataclass(frozen=True)
class Workload:
    """So many clients, each of which takes so many steps on batches of so many examples.

    Attributes:
        network: makes the network for images of a shape.
        shape: that shape.
        clients, steps, batch: how many.
        limit: how many times faster they must be as one; None for any.
    """

    network: Callable[[], nn.Module]
    shape: tuple[int, ...]
    clients: int
    steps: int
    batch: int
    limit: float | None = None


def mlp() -> nn.Module:
    return MLP(GREY, CLASSES)


def cnn() -> nn.Module:
    return CNN(GREY, CLASSES)


def large() -> nn.Module:
    """Return a network of 1.6 million weights."""
    return CNN(COLOUR, CLASSES, channels=(32, 64), kernel_size=3, hidden=390)


def digits() -> nn.Module:
    return MLP(DIGIT, CLASSES)


ON_CPU = {
    "digits mlp 50 × 1 × 30": Workload(digits, DIGIT, 50, 1, 30, limit=3.0),
    "digits mlp 50 × 3 × 10": Workload(digits, DIGIT, 50, 3, 10, limit=3.0),
    "mlp 50 × 5 × 10": Workload(mlp, GREY, 50, 5, 10),
    "cnn 50 × 5 × 10": Workload(cnn, GREY, 50, 5, 10),
}
ON_GPU = {
    "mlp 10 × 20 × 64": Workload(mlp, GREY, 10, 20, 64),
    "mlp 50 × 5 × 10": Workload(mlp, GREY, 50, 5, 10),
    "mlp 100 × 10 × 32": Workload(mlp, GREY, 100, 10, 32, limit=50.0),
    "cnn 10 × 20 × 64": Workload(cnn, GREY, 10, 20, 64),
    "cnn 50 × 5 × 10": Workload(cnn, GREY, 50, 5, 10, limit=10.0),
    "cnn 100 × 10 × 32": Workload(cnn, GREY, 100, 10, 32),
    "1.6 M weights 50 × 5 × 10": Workload(large, COLOUR, 50, 5, 10),
    "1.6 M weights 100 × 10 × 32": Workload(large, COLOUR, 100, 10, 32),
}


MEASURED_ON_CPU = ("digits mlp 50 × 3 × 10", "cnn 50 × 5 × 10")
MEASURED_ON_GPU = ("mlp 50 × 5 × 10", "cnn 50 × 5 × 10", "1.6 M weights 50 × 5 × 10")
PROBE = 256
CLASS_NAMES = tuple(map(str, range(CLASSES)))


def metrics() -> dict[str, Metric]:
    """Return what is measured, on the examples that clients train on."""
    return {
        "evaluation": Evaluation(["train"]),
        "similarity": Similarity({"cka": CKA()}),
        "gradients": Gradients(),
        "sensitivity": Sensitivity(batches=3, batch_examples=10, second_order_batches=2),
        "curvature": Curvature(),
    }


class Federation:
    """Clients that hold examples of one array of bytes, and the model they are sent."""

    def __init__(self, work: Workload, device: torch.device) -> None:
        self.work, self.device = work, device
        count = work.clients * work.steps * work.batch
        self.pixels = torch.randint(256, (count, *work.shape), dtype=torch.uint8)
        self.labels = torch.randint(CLASSES, (count,))
        self.module = work.network().to(device)
        self.weights = {name: tensor.cpu().numpy() for name, tensor in split_state(self.module)[0].items()}
        self.training = Training(batch_size=work.batch)
        own, scale, shift = work.steps * work.batch, torch.tensor(1 / 255), torch.tensor(-0.5)
        indices = torch.split(torch.arange(count), own)
        self.examples = [Examples(self.pixels, self.labels, index, scale, shift) for index in indices]

    def job(self, client: int) -> TrainingJob:
        """Return one client's training, from the arrays that came."""
        weights = {name: torch.from_numpy(array).to(self.device).clone() for name, array in self.weights.items()}
        learner = EndToEnd(Network(self.module, weights, {}), self.training, 0.05)
        generator = torch_generator(0, "batches", 1, client)
        return TrainingJob(learner, self.examples[client], self.training, generator, device=self.device)

    def prepared(self, as_one: bool) -> Callable[[], None]:
        """Return what trains all clients and has their weights where they are aggregated."""

        def run() -> None:
            jobs = [self.job(client) for client in range(self.work.clients)]
            if as_one:
                assert not any(isinstance(found, Alone | Exception) for found in train_together(jobs))
            else:
                for job in jobs:
                    job.done_alone()
            for job in jobs:
                for tensor in job.learner.networks[0].parameters.values():
                    tensor.detach().cpu().numpy()

        return run


def phase(clients: int, cohort: int) -> Callable[[], Callable[[], None]]:
    """Return what makes what runs the training phase of a run on the bundled digits, with nothing measured."""
    words = [f"clients={clients}", "partition=iid", "split.train=1", "split.val=0", "split.test=0", "metrics=[]"]
    config = compose_config([*words, "training.batch_size=10", f"training.cohort={cohort}"])
    built = build(config)
    folder = Path(tempfile.mkdtemp())
    place = Workplace(built.client_app(config), [1] * clients, folder, threading.Event(), lambda _: None)
    grid = LocalGrid(place)
    settings = ConfigRecord({"server-round": 1, "last-round": 1, "moment": "after_local"})
    content = RecordDict({"arrays": array_record(split_state(built.module)[0]), "config": settings})

    def run() -> None:
        messages = [Message(content, node, MessageType.TRAIN) for node in grid.get_node_ids()]
        assert not any(reply.has_error() for reply in grid.send_and_receive(messages))

    return lambda: run


class Measured:
    """Clients that each measure a model of their own."""

    def __init__(self, work: Workload, device: torch.device) -> None:
        federation = Federation(work, device)
        probe = Examples(
            federation.pixels[:PROBE], federation.labels[:PROBE], torch.arange(min(PROBE, len(federation.labels))),
            torch.tensor(1 / 255), torch.tensor(-0.5),
        )  # fmt: skip
        self.views = []
        for client, examples in enumerate(federation.examples):
            module = work.network().to(device).eval()
            weights, buffers = split_state(module)
            view = ClientView(
                layers_of(module), module, weights, buffers, weights, {"client_train": examples}, CLASS_NAMES, client,
                round=1, moment="after_local", device=device, probe=probe,
            )  # fmt: skip
            self.views.append(view)

    def prepared(self, metric: Metric, as_one: bool) -> Callable[[], None]:
        """Return what measures all clients."""

        def run() -> None:
            for view in self.views:
                view.cache.clear()
            works = [partial(measure_clients, {"metric": metric}, view, 1, "raise") for view in self.views]
            if as_one:
                side_by_side(works)
            else:
                for work in works:
                    work()

        return run


def minima(
    sides: Mapping[str, Callable[[], Callable[[], None]]], repetitions: int, device: torch.device
) -> dict[str, float]:
    """Return the smallest milliseconds of what each side makes, run in turn."""
    best = dict.fromkeys(sides, float("inf"))
    for repetition in range(repetitions + 2):
        for name, make in sides.items():
            side = make()
            # One thread of a CPU that others may share: its own time.
            clock = time.perf_counter if device.type == "cuda" else time.process_time
            began = clock()
            side()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if repetition > 1:
                best[name] = min(best[name], 1e3 * (clock() - began))
    return best


def line(
    name: str,
    sides: Mapping[str, Callable[[], Callable[[], None]]],
    limit: float | None,
    rest: tuple[int, torch.device],
) -> bool:
    """Print a line of the table and say whether a limit was missed."""
    single, together = minima(sides, *rest).values()
    wanted = "" if limit is None else f"{limit:8.0f}"
    print(f"{name:38s} {single:10.1f} {together:8.1f} {single / together:6.1f} {wanted}", flush=True)
    return limit is not None and single / together < limit


def main() -> None:
    """Print one line a workload; leave with 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description="Clients that train as one against one after the other.")
    parser.add_argument("workloads", nargs="*", help="names of lines; all if none is given")
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    quiet()
    torch.set_num_threads(1)
    prepare_process(deterministic=False)
    device = resolve_device("auto")
    rest = arguments.repetitions, device
    missed = False
    print(f"{device.type}: clients × steps × batch             one by one   as one  ratio  at least")
    for name, work in (ON_GPU if device.type == "cuda" else ON_CPU).items():
        if not arguments.workloads or name in arguments.workloads:
            torch.manual_seed(0)
            federation = Federation(work, device)
            sides = {"one by one": partial(federation.prepared, False), "as one": partial(federation.prepared, True)}
            missed |= line(name, sides, work.limit, rest)
    if not arguments.workloads:
        line("phase: digits mlp 50 × 4 × 10", {str(size): phase(50, size) for size in (1, 50)}, None, rest)
        for name in MEASURED_ON_GPU if device.type == "cuda" else MEASURED_ON_CPU:
            clients = Measured((ON_GPU if device.type == "cuda" else ON_CPU)[name], device)
            for title, metric in metrics().items():
                sides = {str(as_one): partial(clients.prepared, metric, as_one) for as_one in (False, True)}
                line(f"measured: {name.split(' 50')[0]}, {title}", sides, None, rest)
    sys.exit(missed)


if __name__ == "__main__":
    main()
