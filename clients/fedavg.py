"""FedAvg's participant: start from the global model, train on the own examples, send the result.

References:
    McMahan et al. 2017, Communication-Efficient Learning of Deep Networks from Decentralized Data, AISTATS.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from clients.cohorts.jobs import TrainingJob
from clients.cohorts.training import observed, train_together
from clients.hook_answers import answered
from clients.learners.base import ExtraLoss, Hooks, Learner, Task
from clients.measuring import Measured, Model, compares_clients, measure, with_training
from clients.network import Network, Weights
from clients.obedience import clip_update, proximal_term
from clients.observers import Observer
from clients.onlookers import Onlookers
from clients.schedules import Rate, mean_rate, scheduled
from clients.trained import Trained
from clients.training import LocalResult
from fedlayers.core.cohorts.meeting import meet, own_time
from fedlayers.core.federation import Examples
from fedlayers.core.quantities import Facts, LossFacts
from fedlayers.core.seeding import derive, torch_generator
from fedlayers.core.weights import to_safetensors_bytes
from fedlayers.flower.client_contract import Participant
from fedlayers.flower.contents import BUFFERS, REMARK, START
from fedlayers.flower.orders import OBEYED, Orders, orders
from fedlayers.flower.session import MODEL, OPTIMIZER, Scalars, Session
from fedlayers.objectives.objective import Objective, failures_told


class FedAvgClient(Participant):
    """Trains and measures; an algorithm overrides what it changes.

    Hooks, in the order in which they are called. Before it trains: :meth:`initial` (where training starts),
    :meth:`training_examples`, :meth:`learner` (what a step does, and to which weights), :meth:`observers` (what looks
    on). In every step: :meth:`extra_loss` (a term added to the loss), :meth:`adjust_gradients`. After training:
    :meth:`keep` (what stays with the client), :meth:`sent` and :meth:`beside` (what goes to the strategy, of the model
    and beside it), :meth:`trained_models` (which models are measured). In an evaluation: :meth:`evaluated_models`, of
    a client that never trains :meth:`unseen_models`.

    A layer that the strategy does not send is the client's own: it goes on from its personal state, before its first
    training from the weights that the run's seed draws, is kept after training, and is not sent back. Where plans
    change, a layer that came may be kept, and one that was kept be sent.

    Args:
        session: this client's data, model and generators for one message.
    """

    # It obeys these keys in training; the rest is in ``session.settings``, and records in ``session.arrays(name)``.
    reads: ClassVar[tuple[str, ...]] = OBEYED
    # norm_bit where the strategy clips updates.
    sends: ClassVar[tuple[str, ...]] = ("loss", "train_loss", "norm_bit")
    takes_parts: ClassVar[bool] = True
    # An evaluation that looks at the session's moment, or draws, says False.
    repeats: ClassVar[bool] = True
    # How to read the values of its own rows.
    facts: ClassVar[tuple[Facts, ...]] = (
        LossFacts("training_loss", "nat", 0.0, math.inf, "lower", "mean over the examples trained on, of all epochs"),
    )
    # Whether extra_loss, given the weights of several clients of this class stacked along a leading axis, is the sum of
    # theirs and the same whichever of them is asked: a cohort then asks once.
    extra_loss_adds_up: ClassVar[bool] = False
    # What the strategy tells it to do otherwise than the configuration says, from where fit begins.
    told: Orders

    def __init__(self, session: Session) -> None:
        self.session = session

    def initial(self, received: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights that local training starts from, which copies them; FedAvg starts from those received."""
        return received

    def training_examples(self) -> Examples:
        """Return the examples this client trains on."""
        return self.session.data()["client_train"]

    def learner(self, network: Network, hooks: Hooks, names: Iterable[str] | None = None) -> Learner:
        """Return what a step of local training does, and to which weights: the learner that the configuration names.

        Args:
            network: the model, with the weights that training starts from.
            hooks: the client's own: :meth:`extra_loss`, :meth:`adjust_gradients`, and what the strategy tells.
            names: which weights are trained; None for all that require gradients.
        """
        session, own = self.session, None if names is None else list(names)
        config = session.workspace.config
        stream = derive(config.training_seed, "learner", session.round, session.client)
        task = Task(network, self.told.training, self.lr, own, hooks, self.objective, config.seed, stream)
        made: Learner = session.workspace.make_learner(task)
        return made

    def observers(self, start: Weights) -> Sequence[Observer]:
        """Return what looks on while it trains from ``start``, beside the run's metrics."""
        return ()

    def second_models(self) -> Mapping[str, Network]:
        """Return what is trained beside the network, by the name of the model, once :meth:`learner` was called."""
        return {}

    def extra_loss(self, parameters: Weights, reference: Weights) -> Tensor | None:
        """Return a term that is added to the loss of every batch, or None; ``reference`` is what was received."""
        return None

    def adjust_gradients(self, gradients: dict[str, Tensor], parameters: Weights, reference: Weights) -> None:
        """Change the gradients of a step in place, by name; ``reference`` is what was received."""

    def keep(self, trained: Trained) -> None:
        """Keep what belongs to this client in its state: the buffers of its own layers.

        All are its own if ``training.buffers`` is ``local``.
        """
        session = self.session
        everything = session.workspace.config.training.buffers == "local"
        sent = {} if everything else session.plan.sending(trained.buffers)
        own = {name: tensor for name, tensor in trained.buffers.items() if name not in sent}
        if own:
            self.session.store(BUFFERS, own)

    def sent(self, trained: Trained) -> Weights:
        """Return the arrays of the model that go back: all that were received, or what the round's plan says."""
        return {name: trained.weights[name] for name in self.session.sent}

    def beside(self, trained: Trained) -> Mapping[str, Weights]:
        """Return records of arrays that go to the strategy's ``receive`` beside the model, by name."""
        return {}

    def trained_models(self, trained: Trained) -> Mapping[str, Model]:
        """Return the models that are measured after training, by name; clients are compared on the first."""
        name = "global" if self.pooled else "personal"
        return {name: Model(trained.weights, trained.buffers, trained.start)}

    def evaluated_models(self, received: dict[str, Tensor]) -> Mapping[str, Model]:
        """Return the models that an evaluation measures, by name; the reply's loss is the first one's."""
        session = self.session
        name = "global" if session.plan.is_whole and len(session.received) == len(received) else "personal"
        return {name: Model(received, self.buffers())}

    def unseen_models(self, received: dict[str, Tensor]) -> Mapping[str, Model]:
        """Return the models that a client measures that never trains: of those of an evaluation the global one.

        An algorithm that says how somebody new gets a model of its own overrides this.
        """
        return {name: model for name, model in self.evaluated_models(received).items() if name == "global"}

    def fit(self, parameters: list[np.ndarray], config: Scalars) -> tuple[list[np.ndarray], int, dict[str, Any]]:
        """Train locally, measure the result, and return weights, number of examples and what else there is to say."""
        session = self.session
        self.told = orders(config, session.workspace.config.training)
        received = self.whole(parameters)
        start, buffers = answered(self.initial, received), self.buffers()
        weights = {name: tensor.clone() for name, tensor in start.items()}
        examples = answered(self.training_examples)
        network = Network(session.workspace.module, weights, buffers)
        looking = Onlookers(session, network, start, *self._measured_on(examples))
        began = own_time()
        learner = answered(self.learner, network, self._hooks(received))
        looking.follow(self.second_models())
        result = self.train(learner, [*answered(self.observers, start), *looking.observers])
        seconds = max(own_time() - began - result.observed_s, 0.0)
        found: dict[str, Any] = {"loss": result.loss, "train_loss": result.loss}
        if result.remark:
            found[REMARK] = result.remark.encode()
        if self.told.clipping_norm is not None:
            came = {name: weights[name] for name in session.received}
            found["norm_bit"] = int(clip_update(came, received, self.told.clipping_norm))
        trained = Trained(received, start, weights, buffers, result, mean_rate(self.lr, result.steps))
        self._keep_layers(weights)
        self.keep(trained)
        sent = answered(self.sent, trained)
        session.sent[:] = sent
        found |= answered(self.beside, trained)
        measured = self._measured(trained, examples)
        measured = with_training(measured, session, self.pooled, result, seconds, looking.rows())
        found |= looking.alarms(result.loss)
        with session.part("pack"):
            found |= measured.packed()
        if shared := session.plan.sending(buffers):
            found[BUFFERS] = to_safetensors_bytes(shared)
        known = session.plan.sending(start)
        if self._starts_elsewhere(received, known) and compares_clients(session):
            found[START] = to_safetensors_bytes(known)
        return [tensor.detach().cpu().numpy() for tensor in sent.values()], len(examples), found

    def evaluate(self, parameters: list[np.ndarray], config: Scalars) -> tuple[float, int, dict[str, Any]]:
        """Measure models and return the first one's test loss, the number of test examples and our rows."""
        session = self.session
        whole = self.whole(parameters)
        models = answered(self.unseen_models if session.is_unseen else self.evaluated_models, whole)
        measured = measure(session, models, session.client, session.data())
        # By our names and by those of Flower's examples.
        scores = {"accuracy": measured.accuracy, "eval_loss": measured.loss, "eval_acc": measured.accuracy}
        return measured.loss, measured.examples, {**scores, **measured.packed()}

    def whole(self, parameters: list[np.ndarray]) -> dict[str, Tensor]:
        """Return all weights of the model: those that came and the client's own, in the model's order."""
        session = self.session
        found = session.tensors(parameters) | session.own_weights()
        return {name: found[name] for name in session.names}

    def buffers(self) -> dict[str, Tensor]:
        """Return the buffers to work with: the client's own where it has any, else the server's."""
        session = self.session
        source = {**session.workspace.initial_buffers, **session.global_buffers}
        # Where plans change, what came is newer.
        newer = session.told_plan and session.workspace.config.training.buffers != "local" and session.global_buffers
        own = {name: tensor for name, tensor in session.stored(BUFFERS).items() if name not in (newer or ())}
        return {name: tensor.clone() for name, tensor in source.items()} | own

    @cached_property
    def objective(self) -> Objective:
        """What is minimised, given the examples that training uses."""
        return self.session.workspace.objective_of(None if self.pooled else self.session.client)

    @property
    def lr(self) -> Rate:
        """The learning rate of this round, or what gives that of each step: the strategy's, else the schedule's."""
        session, told = self.session, self.told
        return scheduled(told.training, session.round, session.last_round) if told.lr is None else told.lr

    def train(self, learner: Learner, observers: Sequence[Observer] = (), state: str = OPTIMIZER) -> LocalResult:
        """Train on this client's examples as the run's configuration says, but for what the strategy told.

        Clients of a cohort meet here, and train as one where they can.

        Args:
            learner: what a step does. Also another one after the first: its batches come in the same order.
            observers: what looks on.
            state: which record of the client's personal state keeps what the learner's optimizers remember, if that is
                carried from round to round; each learner needs one of its own.
        """
        session, workspace = self.session, self.session.workspace
        carried = self.told.training.optimizer_state == "carried"
        kept = session.stored(state) if carried else {}
        learner.load(kept)
        job = TrainingJob(
            learner,
            self.training_examples(),
            self.told.training,
            torch_generator(workspace.config.training_seed, "batches", session.round, session.client),
            workspace.augment,
            observers,
            workspace.device,
        )
        with failures_told(f"of client {session.client} in round {session.round}"), session.part("train"):
            result = meet(job, train_together, size=job.steps, alone_s=observed)
        if carried and (now := kept | learner.state()):
            session.store(state, now)
        return result

    def _measured(self, trained: Trained, examples: Examples) -> Measured:
        return measure(self.session, answered(self.trained_models, trained), *self._measured_on(examples))

    def _measured_on(self, examples: Examples) -> tuple[int | None, Mapping[str, Examples]]:
        """Return whose rows those of training are, None for the server's, and what is measured on."""
        return (None, {"client_train": examples}) if self.pooled else (self.session.client, self.session.data())

    def _keep_layers(self, weights: Weights) -> None:
        """Keep the layers that were not sent, so that the next training goes on from them."""
        session, sent = self.session, set(self.session.sent)
        own = {name: tensor for name, tensor in weights.items() if name not in sent}
        if own:
            session.store(MODEL, session.stored(MODEL) | own)

    def _starts_elsewhere(self, received: Weights, start: Weights) -> bool:
        """Say whether training starts, in layers that are shared, from other weights than the server knows."""
        came = set(self.session.received)
        return any(name not in came or start[name] is not received[name] for name in start)

    def _hooks(self, received: Weights) -> Hooks:
        """Return the client's own hooks; one that it does not have costs nothing."""
        kind = type(self)
        adjust = self.adjust_gradients if kind.adjust_gradients is not FedAvgClient.adjust_gradients else None
        one = kind.extra_loss is FedAvgClient.extra_loss or kind.extra_loss_adds_up
        common = (kind, self.told.mu, tuple(self.session.received)) if one else None
        return Hooks(received, self._own_extra_loss(), adjust, common)

    def _own_extra_loss(self) -> ExtraLoss | None:
        """Return the client's own extra loss and the proximal term of a strategy, None if there is neither."""
        own = self.extra_loss if type(self).extra_loss is not FedAvgClient.extra_loss else None
        mu = self.told.mu
        if mu == 0 or not self.session.received:
            return own

        def both(parameters: Weights, reference: Weights) -> Tensor:
            term = proximal_term(mu, {name: parameters[name] for name in self.session.received}, reference)
            extra = own and own(parameters, reference)
            return term if extra is None else extra + term

        return both
