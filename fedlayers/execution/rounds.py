"""The round loop: Flower's strategy hooks in our order, measured, written and committed round by round."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from flwr.app import ArrayRecord, Message
from flwr.serverapp.strategy import Strategy

from fedlayers.config.schema.settings import Config
from fedlayers.core.machine.devices import threads
from fedlayers.core.machine.signals import interruptible
from fedlayers.core.records import addressed
from fedlayers.core.seeding import global_state
from fedlayers.core.survey import survey_rows, surveyed
from fedlayers.engines.base import EngineGrid
from fedlayers.execution.alarms.telling import Alarms
from fedlayers.execution.earlier_rows.best_on_all import best_on_all
from fedlayers.execution.earlier_rows.known_rows import NOTHING, KnownRows
from fedlayers.execution.earlier_rows.last_evaluation import LastEvaluation
from fedlayers.execution.earlier_rows.trained_model import of_trained_model
from fedlayers.execution.progress import Progress
from fedlayers.execution.server_tests import ServerTests, ShownScores
from fedlayers.execution.server_times import ServerTimes
from fedlayers.flower.adapter import records_of
from fedlayers.flower.asking import evaluation_messages, settings_of
from fedlayers.flower.client_contract import declared_client
from fedlayers.flower.global_model import GlobalModel
from fedlayers.flower.packing import Packing
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
    packing: Packing
    grid: EngineGrid
    folder: RunFolder
    progress: Progress
    alarms: Alarms
    model: GlobalModel
    snapshots: SnapshotChoice
    # Seconds that the run has taken so far, those of earlier processes included.
    wall_s: Callable[[], float]
    writer: RoundWriter = field(default_factory=RoundWriter)
    _times: ServerTimes = field(default_factory=ServerTimes)
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
        with threads(self.config.server_threads):  # around all: a test that goes on must find as many as it began with
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
            settings = settings_of(server_round, self.config.rounds, "after_aggregate", self.model.buffers)
            messages = list(self.strategy.configure_evaluate(server_round, self.model.record(), settings, self.grid))
        check_messages(messages, self.config.algorithm["client"], self.config.training)
        sent = {m.metadata.dst_node_id - 1: m.content for m in messages}  # before they are sent, as in _send
        known = of_trained_model(train, self.model, self.measuring, server_round, "after_aggregate")
        evaluate = self._evaluate(server_round, "after_aggregate", messages, known)
        # Not before the last round counts: only the last two states of a client are kept.
        self._settle()
        self.folder.commit_clients(server_round, train.clients)
        snapshots = self.snapshots.of_round(
            server_round, evaluate.means(["loss"]).of("loss", "client_val"), self.model, train, self.folder.states
        )
        self._last = LastEvaluation(sent, evaluate) if server_round == self.config.rounds else None
        tables = train.merged(evaluate)
        self._times.add_to(tables, server_round, "after_aggregate", time.perf_counter() - began)
        self._scores.later(server_round, evaluate)
        if not self._save(server_round, f"round={server_round:06d}", tables, snapshots, evaluate):
            self._scores.show()

    def _train(self, server_round: int) -> Replies:
        """Let clients train, move the global model, and compare the clients."""
        before = self.model.record()
        # A strategy may wait for something, or take long: no signal waits for it.
        with global_state(self.config.seed, "sample", server_round), interruptible():
            settings = settings_of(server_round, self.config.rounds, "after_local", self.model.buffers)
            messages = list(self.strategy.configure_train(server_round, before, settings, self.grid))
        check_messages(messages, self.config.algorithm["client"], self.config.training)
        average_by, blocks = self._average_by, block_of(messages)
        with self._times.of("train_phase_s"):
            self.grid.average_by = None if self._needs_every_client(server_round) else average_by
            phase = self._send("train", server_round, "after_local", messages)
            self.grid.average_by = None
        self.alarms.compare(phase, server_round)
        with self._times.of("aggregate_s"), threads(self.config.server_threads):
            replies = averaged(phase.messages, blocks, average_by) if average_by else phase.messages
            self._show(phase, server_round, "after_local")
            with global_state(self.config.seed, "aggregate", server_round), interruptible():
                self._hand_over(phase, server_round, "after_local")
                arrays, _ = self.strategy.aggregate_train(server_round, replies)
            received = replace(self.model)
            if arrays is not None:
                self.model.take(arrays)
            if phase.buffers and self.snapshots.has_global_model:
                self.model.buffers = {**self.model.buffers, **phase.mean_buffers(self._weighting)}
            # Strategies may have rows of their own, such as who is in which cluster, and plans that change.
            phase.add(addressed(declared(self.strategy).rows(), round=server_round, moment="after_local"))
            self._compare(phase, received, server_round, "after_local")
            self._show(phase, server_round, "after_local")
            planned = self.packing.trained(phase, server_round, self._weighting)
            phase.add(addressed(planned, round=server_round, moment="after_local"))
        return phase

    def _evaluate(self, server_round: int, moment: str, messages: list[Message], known: KnownRows = NOTHING) -> Replies:
        """Let clients evaluate while the server tests the global model itself, but for what is known."""
        with self._times.of("evaluate_phase_s"):
            if self.snapshots.has_global_model or moment == "start":
                self._tests.start(self.model, server_round, moment, known.metrics)
            phase = self._send(moment if moment != "after_aggregate" else "evaluate", server_round, moment, messages)
            self._tests.join(phase, server_round, moment)
            phase.take(known.tables)
        with threads(self.config.server_threads):
            self._show(phase, server_round, moment)
            if phase.messages and moment == "after_aggregate":
                with interruptible():
                    self._hand_over(phase, server_round, moment)
                    self.strategy.aggregate_evaluate(server_round, phase.evaluations)
            self._compare(phase, self.model, server_round, moment)
            self._show(phase, server_round, moment)
        self._evaluate_unseen(phase, server_round, moment)
        return phase

    def _evaluate_unseen(self, phase: Replies, server_round: int, moment: str) -> None:
        """Add to a phase what clients measure that never train; the strategy hears nothing of them."""
        unseen = [client + 1 for client in self.measuring.federation.unseen]
        messages = self._asked(unseen, self.model, server_round, moment)
        with self._times.of("evaluate_phase_s"):
            phase.take(self._send("unseen clients", server_round, moment, messages).tables)

    def _evaluate_all(self, server_round: int, moment: str) -> None:
        """Evaluate on every client, or on those that are surveyed: the ``start`` and ``final`` moments."""
        began = time.perf_counter()
        everybody, wanted = self.grid.get_node_ids(), self.config.surveyed_clients
        nodes = [everybody[client] for client in surveyed(wanted, len(everybody), self.config.seed)]
        messages = self._asked(nodes, self.model, server_round, moment)
        check_messages(messages, self.config.algorithm["client"], self.config.training)
        phase = (self._final if moment == "final" else self._evaluate)(server_round, moment, messages)
        phase.add(addressed(survey_rows(wanted, len(everybody)), owner="server", round=server_round, moment=moment))
        self._times.add_to(phase.tables, server_round, moment, time.perf_counter() - began)
        if moment == "start":
            self._save(0, "round=000000", phase.merged(Replies()), {}, phase)
        else:
            rows = best_on_all(
                *(self.config, declared(self.strategy), self.snapshots.best, phase, self.model, self.folder),
                lambda model, number: self._send("best", number, "final", self._asked(nodes, model, number, "final")),
            )
            phase.take({"records": rows})
            self.writer.later(partial(self._write, server_round, "final", phase.tables))

    def _asked(self, nodes: Sequence[int], model: GlobalModel, server_round: int, moment: str) -> list[Message]:
        settings = settings_of(server_round, self.config.rounds, moment, model.buffers)
        return evaluation_messages(declared(self.strategy), nodes, model, settings)

    def _final(self, server_round: int, moment: str, messages: list[Message]) -> Replies:
        """Take over what the last round measured on the same models, and measure the rest."""
        self._settle()
        if (last := self._last) is None or not self.measuring.repeats(server_round):
            return self._evaluate(server_round, moment, messages)
        alike = declared_client(self.config.algorithm["client"]).repeats
        compared = self.measuring.compared(server_round, moment)
        asked = last.covers(messages, whole=bool(compared)) if alike else set()
        tested = self.measuring.metrics if self.measuring.tests(server_round, "after_aggregate") else ()
        rest = [message for message in messages if message.metadata.dst_node_id - 1 not in asked]
        known = last.rows(asked, tested, moment, self.measuring.not_due(server_round, moment), compared)
        return self._evaluate(server_round, moment, rest, known)

    def _send(self, name: str, server_round: int, moment: str, messages: list[Message]) -> Replies:
        if not messages:
            return Replies()
        self.progress.phase(server_round, name, len(messages))
        self.packing.pack(messages, server_round)
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
        """Let strategy and plan see what was measured since they last looked at the phase, of what they want to see."""
        lookers = (declared(self.strategy), self.packing.rule)
        wanted = self.measuring.shown({name for one in lookers for name in one.observes}, server_round, moment)
        rows = phase.unseen(wanted) if wanted and moment != "final" else []
        for one in lookers:
            if own := [row for row in rows if row.metric in one.observes]:
                with global_state(self.config.seed, f"observe/{moment}", server_round), interruptible():
                    one.observe(own)

    def _hand_over(self, phase: Replies, server_round: int, moment: str) -> None:
        """Give the strategy what clients sent beside what Flower's hooks take."""
        if phase.beside:
            records = {client + 1: content for client, content in phase.beside.items()}
            declared(self.strategy).receive(server_round, moment, records)

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
        wanted = self.packing.rule.needs_weights(server_round) or self.snapshots.need_clients(server_round)
        return wanted or bool(self.measuring.due(server_round, "after_local"))

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
        scalars |= {"rounds": self.config.rounds, **self.packing.state()}
        facts = {"round": server_round, "best": best.as_json() if best else None}
        kept, self._kept = self._kept, {}

        def job() -> None:
            late = phase.added(test.result()) if test else {}
            for name, data in snapshots.items():
                self.folder.write_snapshot(name, data)
            for moment, held in kept.items():
                self.folder.kept.write(server_round, moment, held)
            self._write(server_round, part, {n: [*pieces, *late.get(n, ())] for n, pieces in tables.items()})
            self.folder.commit(server_round, arrays, scalars)
            # A killed process can no longer say how long it took.
            self.folder.write_facts({**self.folder.facts(), **facts, "wall_s": self.wall_s()})

        self.writer.later(job)
        return test is not None

    def _write(self, server_round: int, part: str, tables: dict[str, list[Any]]) -> None:
        self.alarms.check(tables, server_round)
        self.folder.write_part(part, tables)

    @property
    def _average_by(self) -> str | None:
        """The metric that weighs clients, if the strategy only averages."""
        return average_by(self.strategy, self._weighting)

    @property
    def _weighting(self) -> str:
        return "num-examples" if self.config.weighting == "examples" else "one"
