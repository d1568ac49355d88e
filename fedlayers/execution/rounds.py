"""The round loop: Flower's strategy hooks in our order, measured, written and committed round by round."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import psutil
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType
from flwr.serverapp.strategy import Strategy

from fedlayers.config.schema.settings import Config
from fedlayers.core.machine.devices import threads
from fedlayers.core.machine.signals import interruptible
from fedlayers.core.records import Resource, addressed
from fedlayers.core.seeding import global_state
from fedlayers.core.survey import survey_rows, surveyed
from fedlayers.core.weights import to_safetensors_bytes
from fedlayers.engines.base import EngineGrid
from fedlayers.execution.last_evaluation import LastEvaluation
from fedlayers.execution.progress import Progress
from fedlayers.execution.server_tests import ServerTests, ShownScores
from fedlayers.flower.adapter import records_of
from fedlayers.flower.client_contract import declared_client
from fedlayers.flower.global_model import GlobalModel
from fedlayers.flower.replies import Replies, read_replies
from fedlayers.flower.strategy_contract import average_by, declared
from fedlayers.flower.sums import averaged, block_of
from fedlayers.flower.unread_settings import check_messages
from fedlayers.measuring.server import ServerMeasuring
from fedlayers.runs.checkpoint import Checkpoint
from fedlayers.runs.folder import RunFolder
from fedlayers.runs.snapshots import SnapshotChoice
from fedlayers.runs.writer import RoundWriter
from metrics.measure import Payload


@dataclass
class RoundLoop:
    """Runs rounds from the last committed one to the last asked for.

    A round: ``configure_train``, send, measure across clients, ``aggregate_train``; ``configure_evaluate``, send,
    ``aggregate_evaluate``, the server's own test meanwhile; write the round's part, commit.
    """

    config: Config
    strategy: Strategy
    measuring: ServerMeasuring
    grid: EngineGrid
    folder: RunFolder
    progress: Progress
    model: GlobalModel
    snapshots: SnapshotChoice
    # Seconds that the run has taken so far, those of earlier processes included.
    wall_s: Callable[[], float]
    writer: RoundWriter = field(default_factory=RoundWriter)
    _seconds: dict[str, float] = field(default_factory=dict)
    _last: LastEvaluation | None = None
    # What metrics asked to keep in the current round, by moment.
    _kept: dict[str, Payload] = field(default_factory=dict)
    # What clients said to the user and was told.
    _told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Make what shows the rounds and what tests their models."""
        self._scores, self._tests = ShownScores(self.progress), ServerTests(self.measuring)

    def run(self, committed: int | None) -> None:
        """Run what is missing after the committed round (None: nothing is committed yet)."""
        # Around all of it: a test that goes on must find as many as it began with.
        with threads(self.config.server_threads):
            try:
                if committed is None:
                    self._evaluate_all(0, "start")
                for server_round in range((committed or 0) + 1, self.config.rounds + 1):
                    self._round(server_round)
                self._evaluate_all(self.config.rounds, "final")
            finally:
                self._tests.close()
                self.writer.close()

    def _round(self, server_round: int) -> None:
        began = time.perf_counter()
        train = self._train(server_round)
        with global_state(self.config.seed, "sample", server_round), interruptible():
            settings = self._settings(server_round, "after_aggregate")
            messages = list(self.strategy.configure_evaluate(server_round, self.model.record(), settings, self.grid))
        check_messages(messages, self.config.algorithm["client"], self.config.training)
        sent = {m.metadata.dst_node_id - 1: m.content for m in messages}  # before they are sent, as in _send
        evaluate = self._evaluate(server_round, "after_aggregate", messages)
        # Not before the last round counts: only the last two states of a client are kept.
        self._settle()
        self.folder.commit_clients(server_round, train.clients)
        means = evaluate.means()
        snapshots = self.snapshots.of_round(
            server_round, means.of("loss", "client_val"), self.model, train, self.folder.states
        )
        if server_round == self.config.rounds:
            self._last = LastEvaluation(sent, evaluate)
        tables = train.merged(evaluate)
        self._add_own(tables, server_round, "after_aggregate", time.perf_counter() - began)
        self._scores.later(server_round, evaluate)
        if not self._save(server_round, f"round={server_round:06d}", tables, snapshots, evaluate):
            self._scores.show()

    def _train(self, server_round: int) -> Replies:
        """Let clients train, move the global model, and compare the clients."""
        seed = self.config.seed
        before = self.model.record()
        # A strategy may wait for something, or take long: no signal waits for it.
        with global_state(seed, "sample", server_round), interruptible():
            settings = self._settings(server_round, "after_local")
            messages = list(self.strategy.configure_train(server_round, before, settings, self.grid))
        check_messages(messages, self.config.algorithm["client"], self.config.training)
        average_by, blocks = self._average_by, block_of(messages)
        with self._timed("train_phase_s"):
            self.grid.average_by = None if self._needs_every_client(server_round) else average_by
            phase = self._send("train", server_round, "after_local", messages)
            self.grid.average_by = None
        with self._timed("aggregate_s"), threads(self.config.server_threads):
            replies = averaged(phase.messages, blocks, average_by) if average_by else phase.messages
            self._show(phase, server_round, "after_local")
            with global_state(seed, "aggregate", server_round), interruptible():
                self._hand_over(phase, server_round, "after_local")
                arrays, _ = self.strategy.aggregate_train(server_round, replies)
            received = replace(self.model)
            if arrays is not None:
                self.model.take(arrays)
            if phase.buffers and self.snapshots.has_global_model:
                self.model.buffers = phase.mean_buffers(self._weighting)
            # Strategies may have rows of their own, such as who is in which cluster.
            phase.add(addressed(declared(self.strategy).rows(), round=server_round, moment="after_local"))
            self._compare(phase, received, server_round, "after_local")
            self._show(phase, server_round, "after_local")
        return phase

    def _evaluate(self, server_round: int, moment: str, messages: list[Message], tested: bool = False) -> Replies:
        """Let clients evaluate while the server tests the global model itself, unless that is done."""
        with self._timed("evaluate_phase_s"):
            if not tested and (self.snapshots.has_global_model or moment == "start"):
                self._tests.start(self.model, server_round, moment)
            phase = self._send(moment if moment != "after_aggregate" else "evaluate", server_round, moment, messages)
            self._tests.join(phase, server_round, moment)
        with threads(self.config.server_threads):
            self._show(phase, server_round, moment)
            if phase.messages and moment == "after_aggregate":
                with interruptible():
                    self._hand_over(phase, server_round, moment)
                    self.strategy.aggregate_evaluate(server_round, phase.evaluations)
            self._compare(phase, self.model, server_round, moment)
            self._show(phase, server_round, moment)
        return phase

    def _evaluate_all(self, server_round: int, moment: str) -> None:
        """Evaluate on every client, or on those that are surveyed: the ``start`` and ``final`` moments."""
        began = time.perf_counter()
        settings = self._settings(server_round, moment)
        nodes, wanted = self.grid.get_node_ids(), self.config.surveyed_clients
        chosen = [nodes[client] for client in surveyed(wanted, len(nodes), self.config.seed)]
        contents = declared(self.strategy).contents(chosen, self.model.record(), settings)
        messages = [Message(content, node, MessageType.EVALUATE) for node, content in contents.items()]
        check_messages(messages, self.config.algorithm["client"], self.config.training)
        phase = self._final(messages) if moment == "final" else self._evaluate(server_round, moment, messages)
        phase.add(addressed(survey_rows(wanted, len(nodes)), owner="server", round=server_round, moment=moment))
        part = "final" if moment == "final" else f"round={server_round:06d}"
        self._add_own(phase.tables, server_round, moment, time.perf_counter() - began)
        if moment == "start":
            self._save(0, part, phase.merged(Replies()), {}, phase)
        else:
            self.writer.later(partial(self.folder.write_part, part, phase.tables))

    def _final(self, messages: list[Message]) -> Replies:
        """Take over what the last round measured on the same models, and measure the rest."""
        self._settle()
        last, server_round, repeats = self._last, self.config.rounds, self.measuring.repeats(self.config.rounds)
        if last is None or not repeats:
            return self._evaluate(server_round, "final", messages)
        alike = declared_client(self.config.algorithm["client"]).repeats
        known = last.covers(messages) if alike else set()
        tested = self.measuring.tests(server_round, "after_aggregate")
        rest = [message for message in messages if message.metadata.dst_node_id - 1 not in known]
        phase = self._evaluate(server_round, "final", rest, tested)
        away = self.measuring.not_due(server_round, "final")
        phase.take(last.rows(known, "final", away))
        if tested:
            phase.take(last.server_rows("final", away))
        return phase

    def _send(self, name: str, server_round: int, moment: str, messages: list[Message]) -> Replies:
        if not messages:
            return Replies()
        self.progress.phase(server_round, name, len(messages))
        # Before they are sent: an engine may have other ids for the nodes.
        sent = {m.metadata.dst_node_id - 1: records_of(m.content, ArrayRecord)["arrays"] for m in messages}
        replies = self.grid.send_and_receive(messages)
        phase = read_replies(replies, server_round, moment, self.config.on_client_error, self.progress.note)
        phase.sent = sent
        for remark in phase.remarks.keys() - self._told:
            self.progress.note(remark)
        self._told |= phase.remarks.keys()
        return phase

    def _show(self, phase: Replies, server_round: int, moment: str) -> None:
        """Let the strategy see what was measured since it last looked at the phase, of what it wants to see."""
        strategy = declared(self.strategy)
        wanted = self.measuring.shown(strategy.observes, server_round, moment)
        rows = phase.unseen(wanted) if wanted and moment != "final" else []
        if rows:
            with global_state(self.config.seed, f"observe/{moment}", server_round), interruptible():
                strategy.observe(rows)

    def _hand_over(self, phase: Replies, server_round: int, moment: str) -> None:
        """Give the strategy what clients sent beside what Flower's hooks take."""
        if phase.beside:
            records = {client + 1: content for client, content in phase.beside.items()}
            declared(self.strategy).receive(server_round, moment, records)

    def _settings(self, server_round: int, moment: str) -> ConfigRecord:
        """Return what goes to every client beside the weights."""
        settings = ConfigRecord({"server-round": server_round, "last-round": self.config.rounds, "moment": moment})
        if self.model.buffers:
            settings["buffers"] = to_safetensors_bytes(self.model.buffers)
        return settings

    def _compare(self, phase: Replies, received: GlobalModel, server_round: int, moment: str) -> None:
        """Run the metrics' server halves on a phase's replies, and hold on to what they keep."""
        if not self.measuring.due(server_round, moment):
            return
        # What the last round kept may still be on its way to the disk.
        self._settle()
        with interruptible():  # it may take minutes, and a job that ends has none
            kept = self.measuring.compare(phase, received, self.model, server_round, moment)
        phase.forget_payloads()
        if kept and moment != "final":
            self._kept[moment] = kept

    def _needs_every_client(self, server_round: int) -> bool:
        """Say whether a training phase must bring every client's own weights, not only sums."""
        return self.snapshots.need_clients(server_round) or bool(self.measuring.due(server_round, "after_local"))

    def _add_own(self, tables: dict[str, list[Any]], server_round: int, moment: str, seconds: float) -> None:
        """Add the server's own times and memory to the tables of a part."""
        times = {**self._seconds, "round_s": seconds}
        self._seconds = {}
        own = Replies(tables=tables)
        rows = [Resource(name, value, "s") for name, value in times.items()]
        rows.append(Resource("server_memory", psutil.Process().memory_info().rss / 2**20, "MiB"))
        own.add(addressed(rows, owner="server", round=server_round, moment=moment))

    def _settle(self) -> None:
        """Wait until the last round counts, its test included, and show it."""
        self.writer.settle()
        self._scores.show()

    def _save(
        self, server_round: int, part: str, tables: dict[str, list[Any]], snapshots: dict[str, bytes], phase: Replies
    ) -> bool:
        """Let the writer put a round on the disk, in the order that makes it count; what changes is packed now.

        Returns whether the server's test of its phase goes on: the writer waits for it.
        """
        test = self._tests.going_on()
        best = self.snapshots.best
        arrays, scalars = Checkpoint(self.model.weights, self.model.buffers, self.strategy, best).packed()
        scalars["rounds"] = self.config.rounds
        facts = {"round": server_round, "best": best.as_json() if best else None}
        kept, self._kept = self._kept, {}

        def job() -> None:
            late = phase.added(test.result()) if test else {}
            for name, data in snapshots.items():
                self.folder.write_snapshot(name, data)
            for moment, held in kept.items():
                self.folder.kept.write(server_round, moment, held)
            self.folder.write_part(part, {name: [*pieces, *late.get(name, ())] for name, pieces in tables.items()})
            self.folder.commit(server_round, arrays, scalars)
            # A killed process can no longer say how long it took.
            self.folder.write_facts({**self.folder.facts(), **facts, "wall_s": self.wall_s()})

        self.writer.later(job)
        return test is not None

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
        return average_by(self.strategy, self._weighting)

    @property
    def _weighting(self) -> str:
        return "num-examples" if self.config.weighting == "examples" else "one"
