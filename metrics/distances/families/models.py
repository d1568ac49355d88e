"""Distances between models, which are those between the clients that have them."""

from collections.abc import Sequence

import numpy as np

from metrics.distances.families.clients import ClientMatrixMetric, ClientMetric, Steps
from metrics.distances.weights.participant import Client, Model


class ModelMatrixMetric(ClientMatrixMetric):
    """A distance that is known for all models together; supply ``_model_distance_matrix``.

    The distance between clients is that between their models.
    """

    def model_distance_matrix(self, models: Sequence[Model], ignored_steps: Steps | None = None) -> np.ndarray:
        """Return the distances between all models, see :meth:`ClientMatrixMetric.client_distance_matrix`."""
        prepared = self._prepared_models(models, ignored_steps)
        matrix = self._supplied("_model_distance_matrix")(prepared)
        return self._of_shape(matrix, (len(prepared), len(prepared)))

    def _model_distance_matrix(self, models: Sequence[Model]) -> np.ndarray:
        return self._built_model_distance_matrix(models)

    def _built_model_distance_matrix(self, models: Sequence[Model]) -> np.ndarray:
        raise self._missing("_model_distance_matrix(models)")

    def _built_client_distance_matrix(self, clients: Sequence[Client]) -> np.ndarray:
        return self._supplied("_model_distance_matrix")([client.model for client in clients])


class ModelMetric(ModelMatrixMetric, ClientMetric):
    """A distance between two models; supply ``_model_distance``.

    If somebody supplies ``_client_distance`` as well, all distances between clients come from it.
    """

    def model_distance(self, a: Model, b: Model, ignored_steps: Steps | None = None) -> float:
        """Return the distance from model a to model b, see :meth:`ClientMetric.client_distance`."""
        return float(self._model_distance(*self._prepared_models([a, b], ignored_steps)))

    def _model_distance(self, a: Model, b: Model) -> float:
        raise self._missing("_model_distance(a, b)")

    def _built_model_distance_matrix(self, models: Sequence[Model]) -> np.ndarray:
        return self._matrix_of_pairs(models, self._model_distance)

    def _client_distance(self, a: Client, b: Client) -> float:
        return self._model_distance(a.model, b.model)

    def _built_client_distance_matrix(self, clients: Sequence[Client]) -> np.ndarray:
        from_models = type(self)._client_distance is ModelMetric._client_distance
        if from_models and "_client_distance" not in vars(self):
            return super()._built_client_distance_matrix(clients)
        return self._matrix_of_pairs(clients, self._client_distance)
