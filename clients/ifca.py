"""IFCA's participant: of all models it trains the one with the lowest loss on its training examples.

References:
    Ghosh, Chung, Yin & Ramchandran 2020, An Efficient Framework for Clustered Federated Learning, NeurIPS
    (arXiv 2006.04088).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from clients.clustered import ClusteredClient
from clients.measuring import Model
from fedlayers.core.weights import load_state
from fedlayers.flower.session import Scalars
from metrics.predictions.predicting import evaluate_model

_BATCH = 128


class IFCAClient(ClusteredClient):
    """Chooses the model with the lowest mean loss on its training examples, the first of equal ones.

    A model whose loss is not finite is chosen only if no loss is. The choice is made afresh whenever models arrive,
    also before an evaluation. Messages hold the k models' arrays stacked, shape (k, …), or one model alone.

    Args:
        session: this client's data, model and generators for one message.
    """

    sends: ClassVar[tuple[str, ...]] = (*ClusteredClient.sends, "cluster")

    def fit(self, parameters: list[np.ndarray], config: Scalars) -> tuple[list[np.ndarray], int, dict[str, Any]]:
        """Train the best of the models and return it with the metric ``cluster``, its place among them."""
        models = self._models(parameters)
        chosen = self.choose(models)
        weights, count, scalars = super().fit(models[chosen], config)
        return weights, count, {**scalars, "cluster": chosen}

    def evaluate(self, parameters: list[np.ndarray], config: Scalars) -> tuple[float, int, dict[str, Any]]:
        """Measure the best of the models and tell, as the metric ``cluster``, which one it is."""
        models = self._models(parameters)
        chosen = self.choose(models)
        loss, count, scalars = super().evaluate(models[chosen], config)
        return loss, count, {**scalars, "cluster": chosen}

    def unseen_models(self, received: dict[str, Tensor]) -> Mapping[str, Model]:
        """Return the model that fits its training examples best."""
        return self.evaluated_models(received)

    def choose(self, models: Sequence[list[np.ndarray]]) -> int:
        """Return the place of the model with the lowest loss on the training examples."""
        if len(models) == 1:
            return 0
        losses = [self._loss(model) for model in models]
        return min(range(len(models)), key=lambda place: losses[place] if math.isfinite(losses[place]) else math.inf)

    def _models(self, parameters: list[np.ndarray]) -> list[list[np.ndarray]]:
        """Return the models that were stacked, or the one that came alone."""
        shapes = {name: own.shape for name, own in self.session.workspace.module.named_parameters()}
        own = [shapes[name] for name in self.session.received]
        if [array.shape for array in parameters] == own:
            return [parameters]
        return [[array[place] for array in parameters] for place in range(len(parameters[0]))]

    def _loss(self, parameters: list[np.ndarray]) -> float:
        workspace = self.session.workspace
        load_state(workspace.module, self.whole(parameters), self.buffers())
        classes = len(workspace.federation.classes)
        found = evaluate_model(
            workspace.module,
            self.training_examples(),
            classes,
            _BATCH,
            workspace.device,
            objective=self.objective,
        )
        return float(found.losses.mean())
