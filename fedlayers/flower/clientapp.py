"""Binds a NumPyClient to Flower's Message API: the ClientApp that every engine runs."""

import copy
import hashlib
import json
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedlayers.config.schema.settings import Config
from fedlayers.core.cohorts.meeting import place, side_by_side
from fedlayers.core.errors import UserError
from fedlayers.core.machine.devices import prepare_process, threads
from fedlayers.core.seeding import global_state
from fedlayers.core.weights import from_safetensors_bytes
from fedlayers.flower.adapter import NumPyClient, client_error, integer, make_reply, records_of
from fedlayers.flower.arrays import decode
from fedlayers.flower.client_contract import Participant
from fedlayers.flower.client_plugin import client_maker
from fedlayers.flower.contents import ARRAYS, BUFFERS, CONFIG, EXTRA, USAGE, reply_content
from fedlayers.flower.session import Session, Workspace
from fedlayers.flower.traffic import traffic_rows
from fedlayers.flower.usage import packed_usage

# What makes a worker's data, model and metrics of a configuration: a function that any process can import.
Assemble = Callable[[Config], Workspace]


@dataclass(frozen=True)
class _Run:
    """What a ClientApp carries: the run's configuration, what builds a workspace of it, its data's digest, a key."""

    config: Config
    assemble: Assemble
    data: str | None
    key: str


class CohortApp(ClientApp):
    """A ClientApp whose clients may run side by side.

    Args:
        size: the clients of a cohort.
        client_threads: the threads that clients compute with.
    """

    def __init__(self, size: int, client_threads: int) -> None:
        super().__init__()
        self.size = size
        self.client_threads = client_threads

    def side_by_side(self, works: Sequence[Callable[[], Message]]) -> list[Message]:
        """Return the replies of the clients of one cohort, each of which is a piece of work that calls this app."""
        # Each sets its threads and puts back those that it found: it must find its own.
        with threads(self.client_threads):
            return side_by_side(works)


def client_app(config: Config, assemble: Assemble, data: str | None = None) -> CohortApp:
    """Return the ClientApp of a run; it carries the configuration and nothing else.

    Args:
        config: the run's configuration.
        assemble: what makes a worker's workspace of it.
        data: the digest of the run's data: a worker that finds others, which were replaced meanwhile, refuses them.
    """
    app = CohortApp(config.training.cohort_size, config.client_threads)
    # A digest: the configuration travels with every message, once is enough.
    told = json.dumps({**asdict(config), "data": data}, sort_keys=True)
    run = _Run(config, assemble, data, hashlib.sha256(told.encode()).hexdigest())

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return _handle(run, message, context, training=True)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return _handle(run, message, context, training=False)

    @app.query()
    def query(message: Message, context: Context) -> Message:
        """Tell which partition this node holds (Flower's own runtime gives nodes random ids)."""
        answer = MetricRecord({"partition-id": int(context.node_config["partition-id"])})
        return Message(RecordDict({"partition": answer}), reply_to=message)

    return app


def _handle(run: _Run, message: Message, context: Context, training: bool) -> Message:
    """Run one message; a client's exception becomes an error reply with client, round, moment and what happened."""
    client = int(context.node_config["partition-id"])
    settings = records_of(message.content, ConfigRecord)[CONFIG]
    server_round = integer(settings["server-round"])
    moment = "after_local" if training else str(settings["moment"])
    try:
        with (
            threads(run.config.client_threads),
            global_state(run.config.training_seed, f"client/{moment}", server_round, client),
        ):
            station = _station(run)
            workspace = station.workspace()
            session = Session(
                workspace,
                client,
                server_round,
                integer(settings["last-round"]),
                moment,
                _buffers(settings, workspace.device),
                context.state,
                message.content,
            )
            # It counts time from now on.
            _ = session.work
            participant = station.client(session)
            reply = _reply(participant, session, training)
            pooled = isinstance(participant, Participant) and participant.pooled
            return make_reply(message, _with_usage(reply, session, pooled))
    except Exception as error:
        # What is meant for the user is a sentence; a traceback would hide it.
        told = str(error) if isinstance(error, UserError) else traceback.format_exc()
        reason = json.dumps({"client": client, "round": server_round, "moment": moment, "told": told})
        return Message(client_error(reason), reply_to=message)


def _reply(client: NumPyClient, session: Session, training: bool) -> RecordDict:
    """Call the NumPyClient and pack what it returns into the records that strategies expect."""
    arrays = records_of(session.content, ArrayRecord)[ARRAYS]
    with session.part("unpack"):
        # Copies, because a client may train in what it is given, and the next one starts from the same weights.
        parameters = [decode(arrays[name]).copy() for name in session.received]
    if not training:
        loss, count, found = client.evaluate(parameters, session.settings)
        with session.part("pack"):
            return reply_content(None, count, {"loss": loss, **found})
    updated, count, found = client.fit(parameters, session.settings)
    if len(updated) != len(session.sent):
        raise UserError(
            f"algorithm.client: fit must return the arrays that session.sent names, {len(session.sent)} of them, got "
            f"{len(updated)}; change session.sent to send others"
        )
    with session.part("pack"):
        return reply_content(dict(zip(session.sent, updated, strict=True)), count, found)


def _with_usage(reply: RecordDict, session: Session, pooled: bool) -> RecordDict:
    """Return a reply with what the work on it took and how much travels, if a metric asks for it."""
    if session.work is None:
        return reply
    rows = [*traffic_rows(session.content, reply, session.workspace.layers), *session.work.rows()]
    owner, client = ("server", None) if pooled else ("client", session.client)
    address = {"owner": owner, "client": client, "round": session.round, "moment": session.moment}
    extra = records_of(reply, ConfigRecord)[EXTRA]
    packed = [known] if isinstance(known := extra.get(USAGE), bytes) else []
    extra[USAGE] = b"\n".join([*packed, packed_usage([(rows, address)])])
    return reply


def _buffers(settings: ConfigRecord, device: torch.device) -> dict[str, torch.Tensor]:
    packed = settings.get(BUFFERS)
    return {k: v.to(device) for k, v in from_safetensors_bytes(packed).items()} if isinstance(packed, bytes) else {}


@dataclass(frozen=True)
class _Station:
    """What a worker keeps for one configuration.

    Attributes:
        workspaces: one for each place in a cohort, with a module of its own.
        client: makes the client of a session.
    """

    workspaces: list[Workspace]
    client: Callable[[Session], NumPyClient]

    def workspace(self) -> Workspace:
        """Return the workspace of the place that calls."""
        first, wanted = self.workspaces[0], place() + 1
        while len(self.workspaces) < wanted:
            self.workspaces.append(replace(first, module=copy.deepcopy(first.module)))
        return self.workspaces[wanted - 1]


_stations: dict[str, _Station] = {}


def _station(run: _Run) -> _Station:
    """Return what this process keeps for a configuration, building it on first use; the last two are kept."""
    if run.key not in _stations:
        for old in list(_stations)[:-1]:
            del _stations[old]
        client = client_maker(run.config.algorithm["client"])
        workspace = run.assemble(run.config)
        found = workspace.federation.digest
        if run.data not in (None, found):
            raise UserError(
                f"dataset: the data must stay as they were when the run started (digest {run.data}), got other content "
                f"(digest {found}); put the old one back and start the same command again"
            )
        _stations[run.key] = _Station([workspace], client)
    # Another run may have been here since.
    prepare_process(run.config.deterministic)
    return _stations[run.key]
