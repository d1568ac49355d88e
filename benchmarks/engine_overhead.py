"""Seconds per training phase without training: our Ray engine against Flower's own simulation runtime, in one run.

0.63 MB of weights each way, two workers, mean over phases in steady state. Flower's runtime is called as its users do,
through the Grid that its ServerApp is given. Usage:
``python benchmarks/engine_overhead.py [clients ...]`` (default 10 100 1000).
"""

import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import ray
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from fedlayers.config.schema.settings import Engine
from fedlayers.core.machine.allocation import available_cpus
from fedlayers.core.machine.devices import prepare_process, threads
from fedlayers.engines.base import Workplace
from fedlayers.engines.make import make_engine
from fedlayers.flower.adapter import Grid, make_reply, quiet, records_of, run_simulation
from fedlayers.flower.arrays import decode
from fedlayers.flower.contents import array_record
from fedlayers.flower.sums import averaged, block_of
from strategies.fedavg import FedAvg

WORKERS = 2
LIMITS = {10: 10.0, 100: 12.0, 1000: 25.0}
# Phases before those that count, until memory has found its places and is mapped: without training, which needs far
# more of it, that takes two hundred small phases. And those that count.
WARM_UP = {10: 200, 100: 30, 1000: 3}
PHASES = {10: 100, 100: 20, 1000: 4}


def make_app() -> ClientApp:
    """Return an app whose clients decode the weights, add 1 and send them back."""
    app = ClientApp()
    prepared: set[int] = set()

    @app.train()
    def train(message: Message, _context: Context) -> Message:
        if os.getpid() not in prepared:  # as the program sets up its processes
            prepare_process(deterministic=False)
            prepared.add(os.getpid())
        received = records_of(message.content, ArrayRecord)["arrays"]
        arrays = array_record({name: decode(array) + 1 for name, array in received.items()})
        content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})})
        return make_reply(message, content)

    @app.query()
    def query(message: Message, context: Context) -> Message:
        answer = MetricRecord({"partition-id": int(context.node_config["partition-id"])})
        return Message(RecordDict({"partition": answer}), reply_to=message)

    return app


def ours(clients: int) -> float:
    """Return the mean seconds of send, work, receive and FedAvg's aggregation with our Ray engine."""
    place = Workplace(make_app(), [1] * clients, Path(tempfile.mkdtemp()), threading.Event(), lambda _: None)
    grid = make_engine("ray", place, Engine(name="ray", workers=WORKERS))
    strategy = FedAvg()
    grid.average_by = strategy.weighted_by_key

    def phase(messages: list[Message]) -> list[Message]:
        blocks = block_of(messages)
        replies = checked(grid.send_and_receive(messages), clients)
        return averaged(replies, blocks, strategy.weighted_by_key)

    try:
        return seconds_per_phase(grid, strategy, phase, clients)
    finally:
        grid.close()
        ray.shutdown()


def flowers(clients: int) -> float:
    """Return the same of Flower's own runtime, whose ServerApp calls its own Grid."""
    server, found = ServerApp(), []

    @server.main()
    def main(grid: Grid, _context: Context) -> None:
        while len(list(grid.get_node_ids())) < clients:
            time.sleep(0.05)

        def phase(messages: list[Message]) -> list[Message]:
            return checked(list(grid.send_and_receive(messages)), clients)

        found.append(seconds_per_phase(grid, FedAvg(), phase, clients))

    resources = {"num_cpus": available_cpus() / WORKERS, "num_gpus": 0.0}
    run_simulation(
        server_app=server,
        client_app=make_app(),
        num_supernodes=clients,
        backend_config={"client_resources": resources},
    )
    return float(found[0])


def seconds_per_phase(
    grid: Grid, strategy: FedAvg, exchange: Callable[[list[Message]], list[Message]], clients: int
) -> float:
    """Return the mean time of the phases that count."""
    arrays = ArrayRecord([np.zeros((784, 200), np.float32), np.zeros(200, np.float32)])
    times, warm_up = [], WARM_UP.get(clients, 3)
    for phase in range(1, warm_up + PHASES.get(clients, 5) + 1):
        content = RecordDict({"arrays": arrays, "config": ConfigRecord({"server-round": phase})})
        began = time.perf_counter()
        replies = exchange([Message(content, node, MessageType.TRAIN) for node in grid.get_node_ids()])
        with threads(1):
            strategy.aggregate_train(phase, replies)
        times.append(time.perf_counter() - began)
    return statistics.mean(times[warm_up:])


def checked(replies: list[Message], clients: int) -> list[Message]:
    """Return the replies if all are there and none is an error."""
    assert len(replies) == clients and not any(reply.has_error() for reply in replies)
    return replies


def main() -> None:
    """Print one line per number of clients; leave with 1 if a limit is missed."""
    quiet()
    prepare_process(deterministic=False)
    missed = False
    print("clients  flower (s)  ray (s)   ratio  at least")
    for clients in [int(word) for word in sys.argv[1:]] or [10, 100, 1000]:
        mine, theirs = ours(clients), flowers(clients)
        limit = LIMITS.get(clients, 1.0)
        missed |= theirs / mine < limit
        print(f"{clients:7d}  {theirs:10.3f}  {mine:7.4f}  {theirs / mine:6.1f}  {limit:8.0f}", flush=True)
    sys.exit(missed)


if __name__ == "__main__":
    main()
