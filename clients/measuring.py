"""The measuring half of a client: runs the metrics that are due and packs their rows for the trip."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from torch import Tensor, nn

from clients.training import LocalResult
from fedlayers.core.federation import Examples
from fedlayers.core.records import (
    UNSEEN,
    Record,
    Resource,
    Row,
    joined_table,
    missing,
    table_of,
    to_bytes,
)
from fedlayers.core.seeding import derive
from fedlayers.core.weights import loading
from fedlayers.flower.contents import MEASURED, PAYLOADS, SHARED, USAGE, packed_payloads
from fedlayers.flower.session import Session
from fedlayers.flower.stamps import packed_stamp, stamp
from fedlayers.flower.usage import packed_usage
from metrics.base import ClientView, Metric
from metrics.measure import Sent, measure_clients
from metrics.predictions.predicting import Predictions, known_answers

# What the times of metrics are called, before their names.
MEASURE = "measure_"


@dataclass(frozen=True)
class Model:
    """One of the models that a client measures.

    Attributes:
        weights: name -> the weights, of all layers.
        buffers: name -> the buffers that go with them.
        start: name -> the weights that training started from; None if there was no training.
        answers: scope -> what it says of the examples, where the module with these weights does not say it alone: then
            nothing else of it is measured.
    """

    weights: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    start: Mapping[str, Tensor] | None = None
    answers: Mapping[str, Predictions] | None = None


# Rows, and columns that are filled in where a row leaves them at None: whole columns of a table at once, when they are
# packed, in a tenth of the time that single rows take.
Addressed = tuple[Sequence[Row], Mapping[str, Any]]


@dataclass(frozen=True)
class Measured:
    """Rows and payloads of one client at one moment.

    Attributes:
        rows: of all models and of the training, with columns that are to be filled in where a row leaves them at None.
        sent: payloads, of the first model: it is the one on which clients are compared.
        model: the first model's name; :attr:`loss` and :attr:`accuracy` are its.
        stamp: of the first model, where the server may measure the same one.
    """

    rows: Sequence[Addressed]
    sent: Sent
    model: str
    stamp: bytes | None = None

    @property
    def loss(self) -> float:
        """The mean loss on the client's test examples (validation examples if it has none), NaN if not measured."""
        return self._evaluated("loss")[0]

    @property
    def accuracy(self) -> float:
        """The accuracy on the same examples, NaN if not measured."""
        return self._evaluated("accuracy")[0]

    @property
    def examples(self) -> int:
        """The number of examples behind :attr:`loss`."""
        return self._evaluated("loss")[1]

    def packed(self) -> dict[str, bytes]:
        """Return one Arrow stream per table, times, memory and bytes as lines, and the payloads as safetensors."""
        tables: dict[str, list[tuple[list[Row], Mapping[str, Any]]]] = {}
        for rows, address in self.rows:
            own: dict[str, list[Row]] = {}
            for row in rows:
                own.setdefault(table_of(row), []).append(row)
            for name, of_table in own.items():
                tables.setdefault(name, []).append((of_table, address))
        used = cast("list[tuple[list[Resource], Mapping[str, Any]]]", tables.pop("resources", []))
        packed = {name: to_bytes(joined_table(name, groups)) for name, groups in tables.items()}
        packed |= {USAGE: packed_usage(used)} if used else {}
        payloads = {PAYLOADS: self.sent.own, SHARED: self.sent.shared}
        packed |= {name: packed_payloads(arrays) for name, arrays in payloads.items() if arrays}
        return packed | ({MEASURED: packed_stamp(self.model, self.stamp)} if self.stamp else {})

    def _evaluated(self, metric: str) -> tuple[float, int]:
        found = {
            row.scope: (row.value, row.n or 0)
            for rows, address in self.rows
            for row in rows
            if isinstance(row, Record)
            and row.metric == metric
            and row.layer is None
            and (row.model or address["model"]) == self.model
        }
        return found.get("client_test", found.get("client_val", (math.nan, 0)))


def measure(
    session: Session, models: Mapping[str, Model], client: int | None, data: Mapping[str, Examples]
) -> Measured:
    """Run the metrics that are due at the session's round and moment, on one model after another.

    Args:
        session: at which round and moment.
        models: what the column ``model`` says (``global``, ``personal``) -> what is measured; none only where a client
            that never trains has none. The first is the one that replies count for: its loss is the reply's, and its
            payloads go to the server.
        client: what the ``client`` column says; None if the rows belong to the server.
        data: scope -> the examples to measure on.

    Returns:
        Rows, the time they took among them, and payloads for the metrics' server halves.
    """
    if not models:
        return Measured([_without_model(session, data)], Sent(), "personal")
    with session.part("measure"):
        found = {name: _measure_one(session, name, model, client, data) for name, model in models.items()}
    first = next(iter(found))
    for (rows, _), _ in found.values():
        note_times(session, rows, "measure")
    return Measured([rows for rows, _ in found.values()], found[first][1], first, _stamp(session, models[first]))


def note_times(session: Session, rows: Sequence[Row], part: str) -> None:
    """Note the time that each metric took, which its rows tell, inside a part of the client's work."""
    work = session.work
    for row in rows:
        if work is not None and isinstance(row, Resource) and row.metric.startswith(MEASURE):
            work.add(f"{part}/{row.metric.removeprefix(MEASURE)}", row.value)


def view_of(
    session: Session, module: nn.Module, model: Model, client: int | None, data: Mapping[str, Examples]
) -> ClientView:
    """Return what the client half of a metric sees.

    Args:
        session: at which round and moment.
        module: in eval mode; it computes with the model's weights and buffers.
        model: what is measured.
        client: None if the rows belong to the server.
        data: scope -> the examples to measure on.
    """
    workspace, config = session.workspace, session.workspace.config
    return ClientView(
        layers=workspace.layers,
        module=module,
        parameters={name: tensor.detach() for name, tensor in model.weights.items()},
        buffers=model.buffers,
        reference=model.weights if model.start is None else model.start,
        data=data,
        classes=workspace.federation.classes,
        label_groups=workspace.federation.label_groups,
        seed=derive(config.seed, f"measure/{session.moment}", session.round, session.client),
        round=session.round,
        moment=session.moment,
        device=workspace.device,
        payload_limit_bytes=config.payload_limit_bytes,
        probe=workspace.probe,
        run_seed=config.seed,
        objective=workspace.objective_of(client),
        client=client,
        cache=known_answers(model.answers or {}),
        module_cache=workspace.module_cache,
    )


def with_training(
    measured: Measured, session: Session, pooled: bool, result: LocalResult, seconds: float, watched: Sequence[Row]
) -> Measured:
    """Return what was measured with the training loss, the time that training took, and what was measured meanwhile.

    Args:
        measured: of the trained models; the rows of training are the first one's.
        session: whose training, in which round.
        pooled: whether it used all clients' examples, so that the rows belong to the server.
        result: what training came to.
        seconds: how long it took.
        watched: rows of its steps.
    """
    if math.isfinite(result.loss):
        row = Record("training_loss", result.loss, scope="client_train", n=result.examples_seen)
    else:
        row = missing("training_loss", "the loss is not finite: training diverged", scope="client_train")
    throughput = [Resource("throughput", result.examples_seen / seconds, "examples/s")] if seconds else []
    times = [Resource("train_s", seconds, "s"), *(throughput if session.work is not None else [])]
    address = _address(session, measured.model, None if pooled else session.client)
    return replace(measured, rows=[*measured.rows, ([row, *times, *watched], address)])


def compares_clients(session: Session) -> bool:
    """Say whether the server compares the clients in this round: then it has to know what they started from."""
    return any(
        metric.compares_clients and metric.schedule.is_due(session.round, session.last_round, session.moment)
        for metric in session.workspace.metrics.values()
    )


def _measure_one(
    session: Session, name: str, model: Model, client: int | None, data: Mapping[str, Examples]
) -> tuple[Addressed, Sent]:
    workspace = session.workspace
    fill = loading(workspace.module, model.weights, model.buffers)
    workspace.module.eval()
    view = view_of(session, workspace.module, model, client, data)
    on_error = str(workspace.config.metrics.get("on_error", "record"))
    # The server measures the global model itself; with buffers or layers of its own, or trained here, it is another.
    own = workspace.config.training.buffers == "local" or not session.plan.is_whole
    same = name == "global" and session.moment != "after_local" and not own
    metrics = {key: metric for key, metric in _measured_there(session).items() if not (same and metric.per_model)}
    if model.answers is not None:
        metrics = {key: metric for key, metric in metrics.items() if metric.of_predictions}
    rows, sent = measure_clients(metrics, view, session.last_round, on_error, fill)
    if session.is_unseen:
        rows = [_of_unseen(row) for row in rows]
    return (rows, _address(session, name, client)), sent


def _address(session: Session, model: str, client: int | None) -> Mapping[str, Any]:
    """Return whose a model's rows are and when they were measured: a client's, or the server's if there is none."""
    owner = "server" if client is None else "client"
    return {"owner": owner, "client": client, "model": model, "round": session.round, "moment": session.moment}


def _stamp(session: Session, model: Model) -> bytes | None:
    """Return the stamp of a trained model if the server measures the global one likewise in the same round."""
    times = [(session.round, session.last_round, moment) for moment in ("after_local", "after_aggregate")]
    both = any(
        one.per_model and all(one.schedule.is_due(*when) for when in times)
        for one in session.workspace.metrics.values()
    )
    if session.moment != "after_local" or model.answers is not None or not both:
        return None
    workspace = session.workspace
    return stamp(model.weights, model.buffers, workspace.device, workspace.config.client_threads)


def _measured_there(session: Session) -> Mapping[str, Metric]:
    """Return the metrics of a client; of one that never trains those that test a model on examples."""
    metrics = session.workspace.metrics
    return {name: one for name, one in metrics.items() if one.tests_models} if session.is_unseen else metrics


def _without_model(session: Session, data: Mapping[str, Examples]) -> Addressed:
    """Return missing values for a client that never trains, of an algorithm that has no model for it."""
    reason = "the algorithm has no model for a client that never trained"
    due = [
        metric
        for metric in _measured_there(session).values()
        if metric.schedule.is_due(session.round, session.last_round, session.moment)
    ]
    scopes = [UNSEEN[scope] for scope in data if scope != "client_train"] if due else []
    rows = [missing(metric, reason, scope=scope) for scope in scopes for metric in ("accuracy", "loss")]
    return rows, _address(session, "personal", session.client)


def _of_unseen(row: Row) -> Row:
    """Return a row with the scope that says that its client never trains."""
    if isinstance(row, Resource) or row.scope not in UNSEEN:
        return row
    reason = row.reason and row.reason.replace(row.scope, UNSEEN[row.scope])
    return replace(row, scope=UNSEEN[row.scope], reason=reason)
