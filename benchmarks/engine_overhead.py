"""Seconds per training phase without training: our Ray engine against Flower's own simulation runtime, in one run.

0.63 MB of weights each way, two workers, mean over phases in steady state (Flower's own
takes 0.1 or 0.2 s in turn). Usage:
``python benchmarks/engine_overhead.py [clients ...]`` (default 10 100 1000).
"""

import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedlayers.arrays import decode, encode
from fedlayers.config import Engine
from fedlayers.devices import prepare_process, threads
from fedlayers.engines.base import Workplace
from fedlayers.engines.make import make_engine
from fedlayers.flower import quiet, records_of
from fedlayers.sums import averaged, block_of
from strategies.fedavg import FedAvg

LIMITS = {10: 10.0, 100: 12.0, 1000: 25.0}
# Phases before those that count (memory is mapped, Flower's actors are up) and those that count.
WARM_UP = {10: 20, 100: 6, 1000: 2}
PHASES = {10: 30, 100: 12, 1000: 4}


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
        arrays = ArrayRecord({name: encode(decode(array) + 1) for name, array in received.items()})
        content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})})
        return Message(content, reply_to=message)

    @app.query()
    def query(message: Message, context: Context) -> Message:
        answer = MetricRecord({"partition-id": int(context.node_config["partition-id"])})
        return Message(RecordDict({"partition": answer}), reply_to=message)

    return app


def seconds_per_phase(engine: str, clients: int) -> float:
    """Return the mean time of send, work, receive and FedAvg's aggregation."""
    place = Workplace(make_app(), [1] * clients, Path(tempfile.mkdtemp()), threading.Event(), lambda _: None)
    grid = make_engine(engine, place, Engine(name=engine, workers=2))
    strategy = FedAvg()
    grid.average_by = strategy.weighted_by_key
    arrays = ArrayRecord([np.zeros((784, 200), np.float32), np.zeros(200, np.float32)])
    times, warm_up = [], WARM_UP.get(clients, 3)
    try:
        for phase in range(1, warm_up + PHASES.get(clients, 5) + 1):
            content = RecordDict({"arrays": arrays, "config": ConfigRecord({"server-round": phase})})
            began = time.perf_counter()
            messages = [Message(content, node, MessageType.TRAIN) for node in grid.get_node_ids()]
            blocks = block_of(messages)
            replies = grid.send_and_receive(messages)
            assert len(replies) == clients and not any(reply.has_error() for reply in replies)
            with threads(1):
                if engine == "ray":
                    replies = averaged(replies, blocks, strategy.weighted_by_key)
                strategy.aggregate_train(phase, replies)
            times.append(time.perf_counter() - began)
    finally:
        grid.close()
    return statistics.mean(times[warm_up:])


def main() -> None:
    """Print one line per number of clients; leave with 1 if a limit is missed."""
    quiet()
    prepare_process(deterministic=False)
    missed = False
    print("clients  flower (s)  ray (s)   ratio  at least")
    for clients in [int(word) for word in sys.argv[1:]] or [10, 100, 1000]:
        ours, theirs = seconds_per_phase("ray", clients), seconds_per_phase("flower", clients)
        limit = LIMITS.get(clients, 1.0)
        missed |= theirs / ours < limit
        print(f"{clients:7d}  {theirs:10.3f}  {ours:7.4f}  {theirs / ours:6.1f}  {limit:8.0f}", flush=True)
    sys.exit(missed)


if __name__ == "__main__":
    main()
