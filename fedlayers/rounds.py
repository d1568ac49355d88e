"""The round loop: Flower's strategy hooks in our order, measured, written and committed round by round."""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psutil
import torch
from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp.strategy import Strategy
from torch import Tensor, nn

from fedlayers.checkpoint import Checkpoint
from fedlayers.config import Config
from fedlayers.data.federation import Federation
from fedlayers.devices import available_cpus, give_way, threads
from fedlayers.engines.base import EngineGrid
from fedlayers.folder import RunFolder, write_bytes
from fedlayers.global_model import GlobalModel
from fedlayers.layers import Layer
from fedlayers.progress import Progress
from fedlayers.records import Resource, addressed
from fedlayers.replies import Phase, read_replies
from fedlayers.seeding import derive, global_state
from fedlayers.snapshots import Snapshots
from fedlayers.sums import averaged, block_of, only_averages
from fedlayers.weights import load_state, to_safetensors_bytes
from fedlayers.writer import Writer
from metrics.base import ClientView, Metric, ServerView
from metrics.measure import measure_clients, measure_server


@dataclass
class RoundLoop:
    """Runs rounds from the last committed one to the last asked for.

    A round: ``configure_train``, send, measure across clients, ``aggregate_train``; ``configure_evaluate``, send,
    ``aggregate_evaluate``, the server's own test meanwhile; write the round's part, commit.
    """

    config: Config
    federation: Federation
    module: nn.Module
    layers: Sequence[Layer]
    strategy: Strategy
    metrics: Mapping[str, Metric]
    grid: EngineGrid
    folder: RunFolder
    progress: Progress
    device: torch.device
    model: GlobalModel
    snapshots: Snapshots
    # Whether the server's test may run beside the clients (not where they share this process).
    concurrent: bool = True
    writer: Writer = field(default_factory=Writer)
    _seconds: dict[str, float] = field(default_factory=dict)

    def run(self, committed: int | None) -> None:
        """Run what is missing after the committed round (None: nothing is committed yet)."""
        try:
            if committed is None:
                self._evaluate_all(0, "start")
            for server_round in range((committed or 0) + 1, self.config.rounds + 1):
                self._round(server_round)
            self._evaluate_all(self.config.rounds, "final")
        finally:
            self.writer.close()

    def _round(self, server_round: int) -> None:
        began = time.perf_counter()
        train = self._train(server_round)
        with global_state(self.config.seed, "sample", server_round):
            settings = self._settings(server_round, "after_aggregate")
            messages = list(self.strategy.configure_evaluate(server_round, self.model.record(), settings, self.grid))
        evaluate = self._evaluate(server_round, "after_aggregate", messages)
        # Not before the last round counts: only the last two states of a client are kept.
        self.writer.settle()
        self.folder.commit_clients(server_round, train.clients)
        means = evaluate.means()
        snapshots = self.snapshots.of_round(server_round, means.of("loss", "client_val"), self.model, train)
        tables = train.merged(evaluate)
        self._add_own(tables, server_round, "after_aggregate", time.perf_counter() - began)
        self._save(server_round, f"round={server_round:06d}", tables, snapshots)
        scopes = ("server_test", "client_test", "client_val")
        self.progress.round_done(server_round, means.of("accuracy", *scopes), means.of("loss", *scopes))

    def _train(self, server_round: int) -> Phase:
        """Let clients train, move the global model, and compare the clients."""
        seed = self.config.seed
        before = self.model.record()
        with global_state(seed, "sample", server_round):
            settings = self._settings(server_round, "after_local")
            messages = list(self.strategy.configure_train(server_round, before, settings, self.grid))
        average_by, blocks = self._average_by, block_of(messages)
        with self._timed("train_phase_s"):
            self.grid.average_by = None if self._needs_every_client(server_round) else average_by
            phase = self._send("train", server_round, "after_local", messages)
            self.grid.average_by = None
        with self._timed("aggregate_s"), threads(self.config.server_threads):
            replies = averaged(phase.messages, blocks, average_by) if average_by else phase.messages
            with global_state(seed, "aggregate", server_round):
                arrays, _ = self.strategy.aggregate_train(server_round, replies)
            started_from = self.model.tensors()
            if arrays is not None:
                self.model.take(arrays)
            if phase.buffers and self.snapshots.has_global_model:
                self.model.buffers = phase.mean_buffers(self._weighting)
            self._measure_server(server_round, "after_local", phase, started_from)
        return phase

    def _evaluate(self, server_round: int, moment: str, messages: list[Message]) -> Phase:
        """Let clients evaluate while the server tests the global model itself."""
        with ThreadPoolExecutor(1) as pool, self._timed("evaluate_phase_s"):
            test: Future[list[Any]] | None = None
            if self.snapshots.has_global_model or moment == "start":
                test = pool.submit(self._test, server_round, moment)
                if not self.concurrent:
                    test.result()
            phase = self._send(moment if moment != "after_aggregate" else "evaluate", server_round, moment, messages)
            if test is not None:
                phase.add(test.result())
        with threads(self.config.server_threads):
            if phase.messages and moment == "after_aggregate":
                self.strategy.aggregate_evaluate(server_round, [m for m in phase.messages if _has_records(m)])
            self._measure_server(server_round, moment, phase, self.model.tensors())
        return phase

    def _evaluate_all(self, server_round: int, moment: str) -> None:
        """Evaluate on every client, sampled or not: the ``start`` and ``final`` moments."""
        began = time.perf_counter()
        settings = self._settings(server_round, moment)
        content = RecordDict({"arrays": self.model.record(), "config": settings})
        messages = [Message(content, node, MessageType.EVALUATE) for node in self.grid.get_node_ids()]
        phase = self._evaluate(server_round, moment, messages)
        part = "final" if moment == "final" else f"round={server_round:06d}"
        self._add_own(phase.tables, server_round, moment, time.perf_counter() - began)
        if moment == "start":
            self._save(0, part, phase.tables, {})
        else:
            self.writer.later(partial(self.folder.write_part, part, phase.tables))

    def _send(self, name: str, server_round: int, moment: str, messages: list[Message]) -> Phase:
        self.progress.phase(server_round, name, len(messages))
        replies = self.grid.send_and_receive(messages)
        return read_replies(replies, server_round, moment, self.config.on_client_error, self.progress.note)

    def _settings(self, server_round: int, moment: str) -> ConfigRecord:
        """Return what goes to every client beside the weights."""
        settings = ConfigRecord({"server-round": server_round, "last-round": self.config.rounds, "moment": moment})
        if self.model.buffers:
            settings["buffers"] = to_safetensors_bytes(self.model.buffers)
        return settings

    def _test(self, server_round: int, moment: str) -> list[Any]:
        """Measure the global model on the server: its test set, its weights."""
        if self.concurrent:
            give_way()
        began = time.perf_counter()
        with threads(self.config.server_threads):
            load_state(self.module, self.model.tensors(), self.model.buffers)
            self.module.eval()
            weights = {name: tensor.to(self.device) for name, tensor in self.model.tensors().items()}
            view = ClientView(
                layers=self.layers,
                module=self.module,
                parameters=weights,
                buffers=self.model.buffers,
                reference=weights,
                data={"server_test": self.federation.server_test},
                classes=self.federation.classes,
                seed=derive(self.config.seed, f"measure/{moment}", server_round),
                round=server_round,
                moment=moment,
                device=self.device,
                batches_at_once=min(available_cpus(), 4) if self.device.type == "cpu" else 1,
            )
            chosen = {name: metric for name, metric in self.metrics.items() if metric.on_server}
            rows, _ = measure_clients(chosen, view, self.config.rounds, self._on_error)
        rows.append(Resource("server_test_s", time.perf_counter() - began, "s"))
        return addressed(rows, owner="server", model="global", round=server_round, moment=moment)

    def _measure_server(self, server_round: int, moment: str, phase: Phase, before: Mapping[str, Tensor]) -> None:
        """Run the metrics' server halves on a phase's replies."""
        due = self._due_on_server(server_round, moment)
        if not due or not phase.messages:
            return
        view = ServerView(
            layers=self.layers,
            clients=phase.clients,
            weights=phase.weights() if moment == "after_local" else {},
            before=before,
            after=self.model.tensors(),
            records={client: len(self.federation.splits["client_train"][client]) for client in phase.clients},
            payloads={},
            seed=derive(self.config.seed, f"measure/{moment}", server_round),
            round=server_round,
            moment=moment,
        )
        rows = measure_server(due, view, phase.payloads, self.config.rounds, self._on_error)
        phase.add(addressed(rows, round=server_round, moment=moment))

    def _due_on_server(self, server_round: int, moment: str) -> dict[str, Metric]:
        """Return the metrics whose server halves compare the clients of a phase."""
        if getattr(self.strategy, "pooled", False):
            return {}
        return {
            name: metric
            for name, metric in self.metrics.items()
            if type(metric).server is not Metric.server
            and metric.schedule.is_due(server_round, self.config.rounds, moment)
        }

    def _needs_every_client(self, server_round: int) -> bool:
        """Say whether a training phase must bring every client's own weights, not only sums."""
        return self.snapshots.need_clients(server_round) or bool(self._due_on_server(server_round, "after_local"))

    def _add_own(self, tables: dict[str, list[Any]], server_round: int, moment: str, seconds: float) -> None:
        """Add the server's own times and memory to the tables of a part."""
        times = {**self._seconds, "round_s": seconds}
        self._seconds = {}
        own = Phase(tables=tables)
        rows = [Resource(name, value, "s") for name, value in times.items()]
        rows.append(Resource("server_memory", psutil.Process().memory_info().rss / 2**20, "MiB"))
        own.add(addressed(rows, owner="server", round=server_round, moment=moment))

    def _save(self, server_round: int, part: str, tables: dict[str, list[Any]], snapshots: dict[str, bytes]) -> None:
        """Let the writer put a round on the disk, in the order that makes it count; what changes is packed now."""
        best = self.snapshots.best
        arrays, scalars = Checkpoint(self.model.weights, self.model.buffers, self.strategy, best).packed()
        facts = {"round": server_round, "best": best.as_json() if best else None}

        def job() -> None:
            for name, data in snapshots.items():
                write_bytes(self.folder.path / "snapshots" / name, data)
            self.folder.write_part(part, tables)
            self.folder.commit(server_round, arrays, scalars)
            self.folder.write_facts({**self.folder.facts(), **facts})

        self.writer.later(job)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - began

    @property
    def _average_by(self) -> str | None:
        """The metric that weighs clients, if the strategy only averages."""
        return str(vars(self.strategy)["weighted_by_key"]) if only_averages(self.strategy) else None

    @property
    def _on_error(self) -> str:
        return str(self.config.metrics.get("on_error", "record"))

    @property
    def _weighting(self) -> str:
        return "num-examples" if self.config.weighting == "records" else "one"


def _has_records(message: Message) -> bool:
    """Say whether a reply measured any record: empty splits must not enter a mean."""
    return bool(message.content["metrics"]["num-examples"])
