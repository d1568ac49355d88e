"""A small SCAFFOLD, and strategies that send arrays in odd ways, named by ``_target_``.

Karimireddy et al. 2020, SCAFFOLD: Stochastic Controlled Averaging for Federated Learning, ICML (arXiv 1910.06378),
option II.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from torch import Tensor

from clients.fedavg import FedAvgClient
from clients.measuring import Model
from clients.network import Weights
from clients.observers import Observer, View
from clients.trained import Trained
from fedlayers.flower.adapter import Grid
from fedlayers.flower.contents import array_record
from fedlayers.flower.session import Scalars
from fedlayers.flower.strategy_contract import arrays_named
from strategies.fedavg import FedAvg


class StepNumbers(Observer):
    """Counts the steps."""

    def __init__(self) -> None:
        self.steps: tuple[int, ...] = ()

    def on_batch(self, view: View) -> None:
        self.steps = (*self.steps, view.step.number)


class ScaffoldClient(FedAvgClient):
    """Corrects every gradient by c − c_i and sends how its c_i changed; measures the global model beside its own."""

    reads = (*FedAvgClient.reads, "control")
    counted: StepNumbers

    def observers(self, start: Weights) -> Sequence[Observer]:
        self.counted = StepNumbers()
        return [self.counted]

    def adjust_gradients(self, gradients: dict[str, Tensor], parameters: Weights, reference: Weights) -> None:
        server, own = self.session.arrays("control"), self.session.stored("control")
        for name, gradient in gradients.items():
            gradient.add_(server[name] - own.get(name, 0.0))

    def beside(self, trained: Trained) -> Mapping[str, Weights]:
        server, own = self.session.arrays("control"), self.session.stored("control")
        scale = 1 / (trained.result.steps * trained.lr)
        change = {n: scale * (trained.received[n] - w) - server[n] for n, w in trained.weights.items()}
        self.session.store("control", {name: own.get(name, 0.0) + tensor for name, tensor in change.items()})
        return {"control": change}

    def trained_models(self, trained: Trained) -> Mapping[str, Model]:
        return {**super().trained_models(trained), "global": Model(trained.received, trained.buffers)}

    def evaluated_models(self, received: dict[str, Tensor]) -> Mapping[str, Model]:
        own = {name: received[name] - 0.1 * tensor for name, tensor in self.session.stored("control").items()}
        return {**super().evaluated_models(received), "personal": Model(own or received, self.buffers())}

    def evaluate(self, parameters: list[np.ndarray], config: Scalars) -> tuple[float, int, dict[str, Any]]:
        loss, count, found = super().evaluate(parameters, config)
        return loss, count, {**found, "control": self.session.stored("control"), "greeting": "hello"}


class Scaffold(FedAvg):
    """FedAvg with c, the mean of all clients' c_i, which it sends beside the model."""

    def __init__(self, clients: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.clients = clients
        self.control: dict[str, np.ndarray] = {}
        # Node id -> the sum of its control variate as it is after its last training, and what it said.
        self.sums: dict[int, float] = {}
        self.greetings: list[str] = []

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        if not self.control:
            self.control = {name: np.zeros(array.shape, array.dtype) for name, array in arrays.items()}
        messages = list(super().configure_train(server_round, arrays, config, grid))
        for message in messages:
            message.content["control"] = array_record(self.control)
        return messages

    def receive(self, server_round: int, moment: str, records: Mapping[int, RecordDict]) -> None:
        found = arrays_named(records, "control")
        if moment == "after_local":
            for change in found.values():
                self.control = {n: own + change[n] / np.float32(self.clients) for n, own in self.control.items()}
        else:
            self.sums |= {n: sum(float(array.sum()) for array in own.values()) for n, own in found.items()}
            self.greetings = [str(content["config"]["greeting"]) for content in records.values()]


class Choosy(FedAvg):
    """Sends only some arrays of the model, in the order of the alphabet backwards."""

    def __init__(self, start: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.beginning = start

    def chosen(self, arrays: ArrayRecord) -> ArrayRecord:
        return ArrayRecord(
            {name: arrays[name] for name in sorted(arrays, reverse=True) if name.startswith(self.beginning)}
        )

    def configure_train(self, server_round: int, arrays: ArrayRecord, *rest: Any) -> Iterable[Message]:
        return super().configure_train(server_round, self.chosen(arrays), *rest)

    def configure_evaluate(self, server_round: int, arrays: ArrayRecord, *rest: Any) -> Iterable[Message]:
        return super().configure_evaluate(server_round, self.chosen(arrays), *rest)

    def contents(self, nodes: Iterable[int], arrays: ArrayRecord, config: ConfigRecord) -> Mapping[int, RecordDict]:
        return super().contents(nodes, self.chosen(arrays), config)


class Prompting(FedAvg):
    """Sends everybody a record to evaluate with before the first round."""

    def contents(self, nodes: Iterable[int], arrays: ArrayRecord, config: ConfigRecord) -> Mapping[int, RecordDict]:
        content = RecordDict({"arrays": arrays, "config": config, "prompt": array_record({"p": np.zeros(1)})})
        return dict.fromkeys(nodes, content)


class Sending(FedAvgClient):
    """Sends back only some of the arrays, and others beside them."""

    def __init__(self, session: Any, start: str = "", name: str | None = None, count: int | None = None) -> None:
        super().__init__(session)
        self.start, self.name, self.count = start, name, count

    def sent(self, trained: Trained) -> Weights:
        return {name: own for name, own in reversed(list(super().sent(trained).items())) if name.startswith(self.start)}

    def beside(self, trained: Trained) -> Mapping[str, Weights]:
        return {} if self.name is None else {self.name: trained.weights}

    def fit(self, parameters: list[np.ndarray], config: Scalars) -> tuple[list[np.ndarray], int, dict[str, Any]]:
        arrays, count, found = super().fit(parameters, config)
        return arrays[: self.count], count, found
