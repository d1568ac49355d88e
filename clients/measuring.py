"""The measuring half of a client: runs the metrics that are due and packs their rows for the trip."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from clients.training import LocalResult
from fedlayers.core.federation import Examples
from fedlayers.core.records import Record, Resource, Row, addressed, missing, table_of, to_bytes, to_table
from fedlayers.core.seeding import derive
from fedlayers.core.weights import load_state
from fedlayers.flower.contents import PAYLOADS, SHARED, packed_payloads
from fedlayers.flower.session import Session
from metrics.base import ClientView
from metrics.measure import Sent, measure_clients


@dataclass(frozen=True)
class Model:
    """One of the models that a client measures.

    Attributes:
        weights: name -> the weights, of all layers.
        buffers: name -> the buffers that go with them.
        start: name -> the weights that training started from; None if there was no training.
    """

    weights: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    start: Mapping[str, Tensor] | None = None


@dataclass(frozen=True)
class Measured:
    """Rows and payloads of one client at one moment.

    Attributes:
        rows: of all models, told apart by the column ``model``.
        sent: payloads, of the first model: it is the one on which clients are compared.
        model: the first model's name; :attr:`loss` and :attr:`accuracy` are its.
    """

    rows: list[Row]
    sent: Sent
    model: str

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
        """Return one Arrow stream per table and the payloads as safetensors."""
        tables: dict[str, list[Row]] = {}
        for row in self.rows:
            tables.setdefault(table_of(row), []).append(row)
        packed = {name: to_bytes(to_table(name, rows)) for name, rows in tables.items()}
        payloads = {PAYLOADS: self.sent.own, SHARED: self.sent.shared}
        return packed | {name: packed_payloads(arrays) for name, arrays in payloads.items() if arrays}

    def _evaluated(self, metric: str) -> tuple[float, int]:
        found = {
            row.scope: (row.value, row.n or 0)
            for row in self.rows
            if isinstance(row, Record) and row.metric == metric and row.layer is None and row.model == self.model
        }
        return found.get("client_test", found.get("client_val", (math.nan, 0)))


def measure(
    session: Session, models: Mapping[str, Model], client: int | None, data: Mapping[str, Examples]
) -> Measured:
    """Run the metrics that are due at the session's round and moment, on one model after another.

    Args:
        session: at which round and moment.
        models: what the column ``model`` says (``global``, ``personal``) -> what is measured, at least one. The first
            is the one that replies count for: its loss is the reply's, and its payloads go to the server.
        client: what the ``client`` column says; None if the rows belong to the server.
        data: scope -> the examples to measure on.

    Returns:
        Addressed rows, the time they took among them, and payloads for the metrics' server halves.
    """
    found = {name: _measure_one(session, name, model, client, data) for name, model in models.items()}
    first = next(iter(found))
    return Measured([row for rows, _ in found.values() for row in rows], found[first][1], first)


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
        seed=derive(config.seed, f"measure/{session.moment}", session.round, session.client),
        round=session.round,
        moment=session.moment,
        device=workspace.device,
        payload_limit_bytes=config.payload_limit_bytes,
        probe=workspace.probe,
        run_seed=config.seed,
        objective=workspace.objective_of(client),
    )


def training_rows(
    session: Session, pooled: bool, model: str, result: LocalResult, seconds: float, watched: Sequence[Row]
) -> list[Row]:
    """Return the training loss, the time that training took, and what was measured meanwhile, addressed.

    Args:
        session: whose training, in which round.
        pooled: whether it used all clients' examples, so that the rows belong to the server.
        model: what the column ``model`` says.
        result: what training came to.
        seconds: how long it took.
        watched: rows of its steps.
    """
    if math.isfinite(result.loss):
        row = Record("training_loss", result.loss, scope="client_train", n=result.examples_seen)
    else:
        row = missing("training_loss", "the loss is not finite: training diverged", scope="client_train")
    return addressed(
        [row, Resource("train_s", seconds, "s"), *watched],
        owner="server" if pooled else "client",
        client=None if pooled else session.client,
        model=model,
        round=session.round,
        moment=session.moment,
    )


def _measure_one(
    session: Session, name: str, model: Model, client: int | None, data: Mapping[str, Examples]
) -> tuple[list[Row], Sent]:
    workspace = session.workspace
    load_state(workspace.module, model.weights, model.buffers)
    workspace.module.eval()
    view = view_of(session, workspace.module, model, client, data)
    on_error = str(workspace.config.metrics.get("on_error", "record"))
    # The server measures the global model itself; with buffers of its own, or trained here, a client's is another.
    same = name == "global" and session.moment != "after_local" and workspace.config.training.buffers != "local"
    metrics = {key: metric for key, metric in workspace.metrics.items() if not (same and metric.per_model)}
    rows, sent = measure_clients(metrics, view, session.last_round, on_error)
    owner = "server" if client is None else "client"
    address = {"owner": owner, "client": client, "model": name, "round": session.round, "moment": session.moment}
    return addressed(rows, **address), sent
