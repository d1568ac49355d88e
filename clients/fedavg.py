"""FedAvg's participant: start from the global model, train on the own examples, send the result.

References:
    McMahan et al. 2017, Communication-Efficient Learning of Deep Networks from Decentralized Data, AISTATS.
"""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from flwr.app import Array, ArrayRecord
from torch import Tensor

from clients.measuring import measure
from clients.obedience import clip_update, proximal_term
from clients.training import AfterStep, ExtraLoss, LocalResult, learning_rate, train_locally
from fedlayers.core.federation import Examples
from fedlayers.core.records import Record, Resource, Row, addressed, missing
from fedlayers.core.schedule import Step
from fedlayers.core.seeding import derive, torch_generator
from fedlayers.core.weights import to_safetensors_bytes
from fedlayers.flower.adapter import NumPyClient, records_of
from fedlayers.flower.orders import OBEYED, Orders, orders
from fedlayers.flower.session import Scalars, Session
from metrics.measure import measure_step


class FedAvgClient(NumPyClient):
    """Trains and measures; an algorithm overrides what it changes.

    Hooks: :meth:`extra_loss` (a term added to the loss), :meth:`initial` (where training starts), :meth:`evaluated`
    (which model is evaluated), :meth:`keep` (what stays with the client), :meth:`training_examples`.

    Args:
        session: this client's data, model and generators for one message.
    """

    # What it reads of what a strategy tells its clients: keys of the configuration, and further records of the content.
    # It obeys these keys in training; the rest is in fit's and evaluate's ``config`` and in ``session.content``.
    reads: ClassVar[tuple[str, ...]] = OBEYED
    # The metrics in its replies to training beside the counts; norm_bit where the strategy clips updates.
    sends: ClassVar[tuple[str, ...]] = ("loss", "train_loss", "norm_bit")
    # Which model is evaluated after aggregation: ``global`` or ``personal``.
    evaluated_model: ClassVar[str] = "global"
    # Whether training uses all clients' examples, so that what it measures belongs to no single client.
    pooled: ClassVar[bool] = False

    def __init__(self, session: Session) -> None:
        self.session = session

    def extra_loss(self, parameters: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> Tensor | None:
        """Return a term that is added to the loss of every batch, or None."""
        return None

    def initial(self, received: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights that local training starts from; FedAvg starts from those received."""
        return {name: tensor.clone() for name, tensor in received.items()}

    def evaluated(self, received: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights that an evaluation message measures."""
        return received

    def keep(self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> None:
        """Keep what belongs to this client in ``session.state``: the buffers, if ``training.buffers`` is ``local``."""
        if buffers and self.session.workspace.config.training.buffers == "local":
            self.session.state["buffers"] = as_record(buffers)

    def training_examples(self) -> Examples:
        """Return the examples this client trains on."""
        return self.session.data()["client_train"]

    def fit(self, parameters: list[np.ndarray], config: Scalars) -> tuple[list[np.ndarray], int, dict[str, Any]]:
        """Train locally, measure the result, and return weights, number of examples and our rows."""
        session = self.session
        told = orders(config, session.workspace.config.training)
        received = session.tensors(parameters)
        weights, buffers = self.initial(received), self.buffers()
        keeps_own = type(self).initial is not FedAvgClient.initial
        start = {name: tensor.clone() for name, tensor in weights.items()} if keeps_own else received
        examples = self.training_examples()
        watched: list[Row] = []
        began = time.perf_counter()
        result = self._train(weights, buffers, received, examples, told, self._watch(start, watched))
        measuring = sum(row.value for row in watched if isinstance(row, Resource))
        seconds = time.perf_counter() - began - measuring
        scalars: dict[str, Any] = {"loss": result.loss, "train_loss": result.loss}
        if told.clipping_norm is not None:
            scalars["norm_bit"] = int(clip_update(weights, received, told.clipping_norm))
        self.keep(weights, buffers)
        if self.pooled:
            measured = measure(session, weights, buffers, start, "global", None, {"client_train": examples})
        else:
            measured = measure(session, weights, buffers, start, "personal", session.client, session.data())
        sent = [weights[name].detach().cpu().numpy() for name in session.names]
        measured.rows.extend(self._training_rows(result, seconds, watched))
        scalars |= measured.packed()
        if buffers:
            scalars["buffers"] = to_safetensors_bytes(buffers)
        if keeps_own and self._compared():
            scalars["start"] = to_safetensors_bytes(start)
        return sent, len(examples), scalars

    def evaluate(self, parameters: list[np.ndarray], config: Scalars) -> tuple[float, int, dict[str, Any]]:
        """Measure the evaluated model and return its test loss, the number of test examples and our rows."""
        session = self.session
        received = session.tensors(parameters)
        model, buffers = self.evaluated(received), self.buffers()
        measured = measure(session, model, buffers, model, self.evaluated_model, session.client, session.data())
        # By our names and by those of Flower's examples.
        scores = {"accuracy": measured.accuracy, "eval_loss": measured.loss, "eval_acc": measured.accuracy}
        return measured.loss, measured.examples, {**scores, **measured.packed()}

    def buffers(self) -> dict[str, Tensor]:
        """Return the buffers to work with: the client's own if they stay local, else the server's."""
        session = self.session
        own = records_of(session.state, ArrayRecord).get("buffers")
        if own is not None:
            device = session.workspace.device
            return {name: tensor.to(device) for name, tensor in own.to_torch_state_dict().items()}
        source = session.global_buffers or session.workspace.initial_buffers
        return {name: tensor.clone() for name, tensor in source.items()}

    def _training_rows(self, result: LocalResult, seconds: float, watched: Sequence[Row]) -> list[Row]:
        """Return the training loss, the time training took, and what was measured meanwhile."""
        session = self.session
        pooled = self.pooled
        if math.isfinite(result.loss):
            row = Record("training_loss", result.loss, scope="client_train", n=result.examples_seen)
        else:
            row = missing("training_loss", "the loss is not finite: training diverged", scope="client_train")
        return addressed(
            [row, Resource("train_s", seconds, "s"), *watched],
            owner="server" if pooled else "client",
            client=None if pooled else session.client,
            model="global" if pooled else "personal",
            round=session.round,
            moment=session.moment,
        )

    def _train(
        self,
        weights: dict[str, Tensor],
        buffers: dict[str, Tensor],
        received: dict[str, Tensor],
        examples: Examples,
        told: Orders,
        after_step: AfterStep | None,
    ) -> LocalResult:
        """Train as the run's configuration says, but for what the strategy told."""
        session = self.session
        workspace = session.workspace
        scheduled = learning_rate(told.training, session.round, session.last_round)
        return train_locally(
            workspace.module,
            weights,
            buffers,
            examples,
            told.training,
            lr=scheduled if told.lr is None else told.lr,
            generator=torch_generator(workspace.config.seed, "batches", session.round, session.client),
            augment=workspace.augment,
            extra_loss=self._extra_loss(told.mu),
            after_step=after_step,
            reference=received,
            device=workspace.device,
        )

    def _extra_loss(self, mu: float) -> ExtraLoss | None:
        """Return the client's own extra loss and the proximal term of a strategy, None if there is neither."""
        own = self.extra_loss if type(self).extra_loss is not FedAvgClient.extra_loss else None
        if mu == 0:
            return own

        def both(parameters: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> Tensor:
            term, extra = proximal_term(mu, parameters, reference), own and own(parameters, reference)
            return term if extra is None else extra + term

        return both

    def _compared(self) -> bool:
        """Say whether the server compares the clients in this round: then it has to know what they started from."""
        session = self.session
        return any(
            metric.compares_clients and metric.schedule.is_due(session.round, session.last_round, session.moment)
            for metric in session.workspace.metrics.values()
        )

    def _watch(self, start: Mapping[str, Tensor], watched: list[Row]) -> AfterStep | None:
        """Return what looks at the weights inside training; None if no metric does so in this round."""
        session, workspace = self.session, self.session.workspace
        due = {
            name: metric
            for name, metric in workspace.metrics.items()
            if metric.schedule.steps and metric.schedule.is_due(session.round, session.last_round, session.moment)
        }
        on_error = str(workspace.config.metrics.get("on_error", "record"))
        seed = derive(workspace.config.seed, "measure/step", session.round, session.client)

        def look(step: Step, parameters: Mapping[str, Tensor]) -> None:
            watched.extend(measure_step(due, workspace.layers, parameters, start, step, seed, on_error))

        return look if due else None


def as_record(tensors: Mapping[str, Tensor]) -> ArrayRecord:
    """Return named tensors as the record that messages and states hold."""
    return ArrayRecord({name: Array(tensor.detach().cpu().numpy()) for name, tensor in tensors.items()})
