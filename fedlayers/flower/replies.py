"""Reads the replies of a phase: errors, our tables and payloads, and what the strategy gets to see."""

import json
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from safetensors.numpy import load
from torch import Tensor

from fedlayers.core.errors import ClientFailed
from fedlayers.core.records import SCHEMAS, Pair, Record, Row, Spectrum, from_bytes, missing, sort, table_of, to_table
from fedlayers.core.weights import from_safetensors_bytes
from fedlayers.flower.adapter import number, records_of
from fedlayers.flower.arrays import tensor_of
from fedlayers.flower.contents import (
    ALARMS,
    ARRAYS,
    BUFFERS,
    EXTRA,
    MEASURED,
    METRICS,
    PAYLOADS,
    REMARK,
    SHARED,
    START,
    SUM,
    USAGE,
    unpacked_payloads,
)
from fedlayers.flower.stamps import unpacked_stamp
from fedlayers.flower.usage import usage_table

logger = logging.getLogger(__name__)

# The columns of what is averaged over clients.
_MEANT = ["metric", "layer", "step", "scope", "model", "value", "n", "status"]


@dataclass
class Replies:
    """The replies of one phase, taken apart.

    Attributes:
        messages: the replies without errors and without our extra record, by client.
        arrays: client -> name -> the weights it sent, apart from its message, because some strategies of Flower
            (FedMedian, FedTrimmedAvg) take the arrays out of the messages they aggregate.
        tables: table name -> Arrow tables.
        payloads: metric -> client -> name -> array.
        shared: name -> client -> name -> array, of what several metrics share.
        buffers: client -> its buffers after training.
        starts: client -> the weights that its training started from, where it keeps its own.
        sent: client -> the arrays of the model that it was sent.
        remarks: what clients want the user to know, each once.
        measured: client -> name and stamp of the model that it measured after training, where a metric asks for no more
            than the model and the probe.
        beside: client -> records for the strategy beside the model and the metrics, of clients that sent any.
    """

    messages: list[Message] = field(default_factory=list)
    arrays: dict[int, dict[str, Array]] = field(default_factory=dict)
    tables: dict[str, list[pa.Table]] = field(default_factory=dict)
    payloads: dict[str, dict[int, dict[str, np.ndarray]]] = field(default_factory=dict)
    shared: dict[str, dict[int, dict[str, np.ndarray]]] = field(default_factory=dict)
    buffers: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    starts: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)
    sent: dict[int, ArrayRecord] = field(default_factory=dict)
    beside: dict[int, RecordDict] = field(default_factory=dict)
    remarks: dict[str, None] = field(default_factory=dict)
    measured: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    # Table name -> how many of its tables were asked for already.
    _seen: dict[str, int] = field(default_factory=dict)

    @property
    def clients(self) -> list[int]:
        """Indices of the clients that replied, ascending."""
        return [client_of(message) for message in self.messages]

    @property
    def evaluations(self) -> list[Message]:
        """The replies that measured any example: empty splits must not enter a mean."""
        return [m for m in self.messages if records_of(m.content, MetricRecord)[METRICS]["num-examples"]]

    def weights(self) -> dict[int, dict[str, Tensor]]:
        """Return each client's weights as tensors."""
        return {
            client: {name: tensor_of(array) for name, array in arrays.items()} for client, arrays in self.arrays.items()
        }

    def forget_payloads(self) -> None:
        """Let go of what only the metrics' server halves read: for every client up to several times its weights."""
        self.payloads, self.shared = {}, {}

    def mean_buffers(self, key: str) -> dict[str, Tensor]:
        """Return the mean of the clients' buffers, weighted by a metric of their replies, in the buffers' own types.

        Each buffer's mean is over those who sent it.
        """
        weights = {client_of(m): number(records_of(m.content, MetricRecord)[METRICS][key]) for m in self.messages}
        means = {}
        for name in dict.fromkeys(name for own in self.buffers.values() for name in own):
            found = {client: own[name] for client, own in sorted(self.buffers.items()) if name in own}
            total = sum(weight for client, weight in weights.items() if client in found)
            mean = torch.stack([weights[c] / total * b.to(torch.float64) for c, b in found.items()]).sum(0)
            buffer = next(iter(found.values()))
            means[name] = (mean if buffer.is_floating_point() else mean.round()).to(buffer.dtype)
        return means

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows of any table."""
        self.added(rows)

    def added(self, rows: Iterable[Row]) -> dict[str, list[pa.Table]]:
        """Add rows of any table and return them as tables."""
        sorted_rows: dict[str, list[Row]] = {}
        for row in rows:
            sorted_rows.setdefault(table_of(row), []).append(row)
        tables = {name: [to_table(name, group)] for name, group in sorted_rows.items()}
        self.take(tables)
        return tables

    def take(self, tables: Mapping[str, Iterable[pa.Table]]) -> None:
        """Add rows of tables."""
        for name, pieces in tables.items():
            if added := list(pieces):
                self.tables.setdefault(name, []).extend(added)

    def unseen(self, metrics: Collection[str]) -> list[Row]:
        """Return the rows of some metrics that were added since this was called last, sorted; times are not among them.

        Args:
            metrics: values of the column ``metric``.
        """
        rows: list[Row] = []
        for name, kind in (("records", Record), ("pairs", Pair), ("spectra", Spectrum)):
            pieces = self.tables.get(name, [])
            new, self._seen[name] = pieces[self._seen.get(name, 0) :], len(pieces)
            if new:
                table = pa.concat_tables(new, promote_options="none")
                wanted = table.filter(
                    pc.is_in(table["metric"].cast(pa.string()), pa.array(sorted(metrics), pa.string()))
                )
                rows += [kind(**row) for row in sort(name, wanted).to_pylist()]
        return rows

    def merged(self, other: "Replies") -> dict[str, list[pa.Table]]:
        """Return the tables of both phases."""
        return {name: self.tables.get(name, []) + other.tables.get(name, []) for name in SCHEMAS}

    def means(self, metrics: Collection[str]) -> "Means":
        """Return some model-level metrics of the phase, each a mean over examples; not of steps."""
        # Of these columns and rows alone: a table of many metrics takes ten times as long as what is asked for. And in
        # one chunk: in those of fifty clients it is looked up in thirty times the time.
        pieces = [piece.select(_MEANT) for piece in self.tables.get("records", [])]
        sums: dict[tuple[str, str, str], tuple[float, int]] = {}
        if pieces:
            table = pa.concat_tables(pieces, promote_options="none").combine_chunks()
            asked = table.filter(pc.is_in(table["metric"].cast(pa.string()), pa.array(sorted(metrics), pa.string())))
            whole = asked.filter(pc.and_(pc.is_null(asked["layer"]), pc.is_null(asked["step"])))
            columns = [whole[name].to_pylist() for name in ("metric", "scope", "model", "value", "n", "status")]
            for metric, scope, model, value, n, status in zip(*columns, strict=True):
                if status == "ok" and n:
                    total, weight = sums.get((metric, scope, model), (0.0, 0))
                    sums[metric, scope, model] = (total + value * n, weight + n)
        return Means({key: total / weight for key, (total, weight) in sums.items()})


@dataclass(frozen=True)
class Means:
    """Means over examples, by metric, scope and model."""

    values: Mapping[tuple[str, str, str], float]

    def of(self, metric: str, *scopes: str) -> float | None:
        """Return a metric's mean on the first of the scopes on which it was measured, None if on none.

        Where clients measured several models it is the global one's.
        """
        for scope in scopes:
            found = {model: value for (*known, model), value in self.values.items() if known == [metric, scope]}
            if found:
                return found.get("global", next(iter(found.values())))
        return None


def client_of(message: Message) -> int:
    """Return the index of the client that sent a reply."""
    return int(message.metadata.src_node_id) - 1


def read_replies(
    replies: Sequence[Message], server_round: int, moment: str, on_error: str, note: Callable[[str], None]
) -> Replies:
    """Take replies apart.

    Args:
        replies: sorted by client.
        server_round: the round, for messages about failures.
        moment: the moment, likewise.
        on_error: ``stop`` raises at the first client that failed, ``drop`` records it and goes on without it.
        note: shows a line to the user.

    Raises:
        ClientFailed: a client raised (``stop``), or all did.
    """
    phase, usage = Replies(), list[bytes]()
    for reply in replies:
        if reply.has_error():
            _failed(phase, _details(reply, server_round, moment), on_error, note)
            continue
        client = client_of(reply)
        extra = records_of(reply.content, ConfigRecord)[EXTRA]
        # Flower's strategies insist on one ArrayRecord and one MetricRecord.
        beside = {name: reply.content.pop(name) for name in list(reply.content) if _is_beside(name)}
        beside.pop(EXTRA)
        if beside:
            phase.beside[client] = RecordDict(beside)
        phase.messages.append(reply)
        arrays = records_of(reply.content, ArrayRecord)
        if ARRAYS in arrays:
            phase.arrays[client] = dict(arrays[ARRAYS])
        _take(phase, client, extra, usage)
    if usage:
        phase.take({"resources": [usage_table(usage)]})
    if replies and not phase.messages:
        raise ClientFailed(f"every client failed in round {server_round} ({moment}); the log has why")
    return phase


def _is_beside(name: str) -> bool:
    return name not in (ARRAYS, METRICS) and not name.startswith(SUM)


def _take(phase: Replies, client: int, extra: ConfigRecord, usage: list[bytes]) -> None:
    """Add what a client's record of ours holds to a phase, and what its work took, still packed, to that of others."""
    for name, data in extra.items():
        assert isinstance(data, bytes)
        if name in (PAYLOADS, SHARED):
            held = phase.payloads if name == PAYLOADS else phase.shared
            for whose, payload in unpacked_payloads(data).items():
                held.setdefault(whose, {})[client] = payload
        elif name == BUFFERS:
            phase.buffers[client] = from_safetensors_bytes(data)
        elif name == ALARMS:
            continue  # told when the reply came in
        elif name == REMARK:
            phase.remarks[data.decode()] = None
        elif name == MEASURED:
            phase.measured[client] = unpacked_stamp(data)
        elif name == START:
            phase.starts[client] = load(data)
        elif name == USAGE:
            usage.append(data)
        else:
            phase.tables.setdefault(name, []).append(from_bytes(data))


def _failed(phase: Replies, details: dict[str, Any], on_error: str, note: Callable[[str], None]) -> None:
    """Stop at a failed client, or write down that it is missing."""
    client, told = details["client"], details["told"].strip()
    server_round, moment = details["round"], details["moment"]
    between = "\n" if "\n" in told else " "
    text = f"client {client} failed in round {server_round} ({moment}):{between}{told}"
    if on_error == "stop":
        raise ClientFailed(text)
    logger.error(text)
    last_line = told.splitlines()[-1]
    note(f"client {client} is dropped from round {server_round} ({moment}): {last_line}")
    phase.add([missing("client", last_line, client=client, owner="client", round=server_round, moment=moment)])


def _details(reply: Message, server_round: int, moment: str) -> dict[str, Any]:
    """Return what an error reply says; Flower's own runtime sends plain text when a worker died."""
    reason = str(reply.error.reason)
    try:
        found: dict[str, Any] = json.loads(reason)
    except json.JSONDecodeError:
        found = {"client": client_of(reply), "round": server_round, "moment": moment, "told": reason}
    return found
